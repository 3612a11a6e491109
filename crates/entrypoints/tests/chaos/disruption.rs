//! What befalls the importer itself.

use crate::draw::SeededChoices;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disruption {
    None,
    /// The import is dropped at these points, one after the other, and begun again.
    Crashes(Vec<Point>),
    /// The import pauses at this point while another takes the run over, and then continues.
    Zombie(Point),
    /// The program is killed after this many requests, again and again.
    Kills(Vec<u64>),
    /// The program is stopped after this many requests while another takes over.
    Freeze(u64),
    /// All connections to the database are cut after this many requests.
    Cuts(Vec<u64>),
    /// The server is restarted after this many requests.
    Restart {
        after: u64,
        immediately: bool,
    },
    /// The server accepts no more than this many connections.
    Starvation {
        connections: u32,
    },
    /// All connections to the database stay open after that number of requests, and nothing passes
    /// any more.
    FrozenConnections(u64),
    /// Another import is started after that number of requests, and the lease of the first, which
    /// continues, counts as expired if it `takes_over`.
    TwoAtOnce {
        after: u64,
        takes_over: bool,
    },
    /// A second shop is imported into the same database at the same time.
    Neighbour,
    /// After that number of requests the stored connection is as it was at the beginning, as after a
    /// failover that has lost what was committed last.
    ConnectionSetBack(u64),
    /// The clock of the machine is set by these seconds after that number of requests.
    ClockSteps {
        after: u64,
        seconds: i64,
    },
}

/// A moment of a call to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) call: &'static str,
    /// The how many-th such call.
    pub(crate) nth: u64,
    pub(crate) moment: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    /// After it has waited this many times for something.
    Amid(u32),
    After,
}

/// Calls with how often an import makes them, so that most points are reached.
const CALLS: [(&str, u64); 27] = [
    ("list_page", 40),
    ("order_detail", 40),
    ("order_items", 40),
    ("land_pages", 15),
    ("land_pages", 4),
    ("land_details", 6),
    ("land_changes", 2),
    ("pending_details", 3),
    ("mark_pending", 2),
    ("tombstone", 2),
    ("create_or_join", 1),
    ("claim", 1),
    ("save_plan", 1),
    ("windows", 3),
    ("begin_scan", 8),
    ("listing", 8),
    ("split_window", 6),
    ("listed", 4),
    ("carry_over", 4),
    ("remember_ceiling", 1),
    ("mark_window_done", 8),
    ("record_ends_rescanned", 1),
    ("listed_orders", 1),
    ("not_listed", 1),
    ("vanished", 3),
    ("certify", 1),
    ("complete", 1),
];

impl Point {
    fn draw(draw: &mut SeededChoices) -> Self {
        let (call, most) = draw.pick(&CALLS);
        let nth = draw.between(1, most);
        let moment = match draw.between(0, 3) {
            0 => Moment::Before,
            1 => Moment::After,
            _ => Moment::Amid(draw.between(1, 12) as u32),
        };
        Self { call, nth, moment }
    }
}

impl Disruption {
    pub(crate) fn draw(draw: &mut SeededChoices) -> Self {
        let moments = |draw: &mut SeededChoices, most: u64| {
            let count = draw.between(1, most);
            (0..count).map(|_| draw.between(1, 80)).collect()
        };
        match draw.between(0, 131) {
            0..25 => Self::None,
            25..60 => {
                let count = draw.between(1, 4);
                Self::Crashes((0..count).map(|_| Point::draw(draw)).collect())
            }
            60..75 => Self::Zombie(Point::draw(draw)),
            75..82 => Self::Kills(moments(draw, 4)),
            82..87 => Self::Freeze(draw.between(3, 80)),
            87..94 => Self::Cuts(moments(draw, 4)),
            94..97 => Self::Restart {
                after: draw.between(3, 60),
                immediately: draw.chance(0.5),
            },
            97..100 => Self::Starvation {
                connections: draw.between(1, 3) as u32,
            },
            100..103 => Self::FrozenConnections(draw.between(3, 60)),
            103..113 => Self::TwoAtOnce {
                after: draw.between(0, 60),
                takes_over: draw.chance(0.7),
            },
            113..118 => Self::Neighbour,
            118..127 => Self::ConnectionSetBack(draw.between(10, 150)),
            _ => Self::ClockSteps {
                after: draw.between(3, 60),
                seconds: draw.between(0, 50) as i64 - 25,
            },
        }
    }

    /// Whether a process or a server is part of it, whose time cannot be sped up.
    pub(crate) fn needs_real_time(&self) -> bool {
        match self {
            Self::None
            | Self::Crashes(_)
            | Self::Zombie(_)
            | Self::TwoAtOnce { .. }
            | Self::Neighbour
            | Self::ConnectionSetBack(_) => false,
            Self::FrozenConnections(_)
            | Self::ClockSteps { .. }
            | Self::Kills(_)
            | Self::Freeze(_)
            | Self::Cuts(_)
            | Self::Restart { .. }
            | Self::Starvation { .. } => true,
        }
    }

    /// How often something may have been fetched and not landed.
    pub(crate) fn interruptions(&self) -> u64 {
        match self {
            Self::None | Self::Neighbour | Self::ConnectionSetBack(_) => 0,
            Self::Crashes(points) => points.len() as u64,
            Self::Zombie(_)
            | Self::Freeze(_)
            | Self::TwoAtOnce { .. }
            | Self::FrozenConnections(_)
            | Self::ClockSteps { .. } => 2,
            Self::Kills(moments) | Self::Cuts(moments) => moments.len() as u64,
            Self::Restart { .. } => 2,
            Self::Starvation { .. } => 4,
        }
    }
}
