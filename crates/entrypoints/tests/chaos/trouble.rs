//! What befalls the importer itself.

use crate::draw::Draw;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// The import is dropped at these points, one after the other, and begun again.
    Crashes(Vec<Point>),
    /// The import stands still at this point while another takes the run over, and
    /// then goes on.
    Zombie(Point),
    /// The program is killed after so many requests, again and again.
    Kills(Vec<u64>),
    /// The program is stopped after so many requests while another takes over.
    Freeze(u64),
    /// All connections to the database are cut after so many requests.
    Cuts(Vec<u64>),
    /// The server is restarted after so many requests.
    Restart {
        after: u64,
        immediately: bool,
    },
    /// The server has no more than so many connections to give.
    Starvation {
        connections: u32,
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
    /// After it has waited so many times for something.
    Amid(u32),
    After,
}

/// Calls with how often an import makes them, so that most points are reached.
const CALLS: [(&str, u64); 26] = [
    ("list_page", 40),
    ("order_detail", 40),
    ("order_items", 40),
    ("land_pages", 15),
    ("land_pages", 4),
    ("land_details", 6),
    ("land_changes", 2),
    ("pending_details", 3),
    ("ask_again", 2),
    ("bury", 2),
    ("create_or_join", 1),
    ("claim", 1),
    ("save_plan", 1),
    ("windows", 3),
    ("begin_walk", 8),
    ("listing", 8),
    ("split_window", 6),
    ("listed", 4),
    ("carry_over", 4),
    ("remember_ceiling", 1),
    ("settle_window", 8),
    ("record_ends_read_again", 1),
    ("not_listed", 1),
    ("vanished", 3),
    ("certify", 1),
    ("complete", 1),
];

impl Point {
    fn draw(draw: &mut Draw) -> Self {
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

impl Trouble {
    pub(crate) fn draw(draw: &mut Draw) -> Self {
        let moments = |draw: &mut Draw, most: u64| {
            let count = draw.between(1, most);
            (0..count).map(|_| draw.between(1, 80)).collect()
        };
        match draw.between(0, 99) {
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
            _ => Self::Starvation {
                connections: draw.between(1, 3) as u32,
            },
        }
    }

    /// Whether a process or a server is part of it, whose time nobody can speed up.
    pub(crate) fn needs_real_time(&self) -> bool {
        match self {
            Self::None | Self::Crashes(_) | Self::Zombie(_) => false,
            Self::Kills(_)
            | Self::Freeze(_)
            | Self::Cuts(_)
            | Self::Restart { .. }
            | Self::Starvation { .. } => true,
        }
    }

    /// How often something may have been fetched and not landed.
    pub(crate) fn interruptions(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Crashes(points) => points.len() as u64,
            Self::Zombie(_) | Self::Freeze(_) => 2,
            Self::Kills(moments) | Self::Cuts(moments) => moments.len() as u64,
            Self::Restart { .. } => 2,
            Self::Starvation { .. } => 4,
        }
    }
}
