//! Short imports from end to end: questions that depend on one another, then a burst, then
//! one request a second. The numbers of requests are those of the benchmark's imports.

use domain::plan::Budget;
use salla_client::pacing::PacerSettings;

use crate::limiter::{Algorithm, Limiter};
use crate::losses::{Minute, minutes};
use crate::simulation::{Jitter, Network, Simulation};
use crate::workload::{Import, Stage, stage};

/// Answers take 150 to 250 ms; what varies is Salla's work.
const NETWORK: Network = Network {
    up: Jitter(0.02, 0.002),
    held_up: 0.0,
    work: Jitter(0.11, 0.1),
    down: Jitter(0.02, 0.0),
};

/// What the database takes between two steps of an import.
const PAUSE: f64 = 0.02;

const SEEDS: u64 = 20;

struct Case {
    name: &'static str,
    limit: u32,
    /// What the mean ratio must not exceed.
    max: f64,
    /// Requests that the plan counts.
    needed: u64,
    /// Pages of orders; requests for details and items, and those of them that are left to
    /// the end.
    pages: u64,
    details: u64,
    left: u64,
}

const fn case(
    name: &'static str,
    [limit, needed]: [u32; 2],
    [pages, details, left]: [u64; 3],
    max: f64,
) -> Case {
    Case {
        name,
        limit,
        max,
        needed: needed as u64,
        pages,
        details,
        left,
    }
}

const CASES: [Case; 7] = [
    case("Plus, whole orders", [120, 328], [307, 0, 0], 1.045),
    case("Plus, details", [120, 734], [14, 700, 5], 1.01),
    case("Plus, details and items", [120, 728], [8, 700, 10], 1.01),
    case(
        "Pro, details and items",
        [360, 1_636],
        [16, 1_600, 10],
        1.05,
    ),
    case("Pro, details", [360, 1_649], [29, 1_600, 5], 1.05),
    case(
        "Special, details and items",
        [720, 3_048],
        [27, 3_000, 10],
        1.025,
    ),
    // Each of the first three minutes loses two to four seconds to its burst.
    case("Special, details", [720, 3_073], [52, 3_000, 5], 1.06),
];

impl Case {
    fn stages(&self) -> Vec<Stage> {
        let stages = [
            // The shop, its newest orders, and what else is found out before the plan.
            stage(1, 0),
            stage(1, 2),
            stage(6, 5),
            // First pages of three windows and of four other lists, and the rest.
            stage(7, 2),
            stage(self.pages - 1, 2),
            stage(self.details - self.left, 6),
            // Changes, and the counts of lists and of windows.
            stage(4, 2),
            stage(3, 2),
            stage(self.left, 6),
        ];
        let mut stages = Vec::from(stages);
        stages.retain(|stage| stage.requests > 0);
        stages
    }

    fn requests(&self) -> u64 {
        self.stages().iter().map(|stage| stage.requests).sum()
    }

    fn floor(&self) -> f64 {
        let budget = Budget {
            requests_per_minute: Some(self.limit),
            share: 1.0,
        };
        budget.floor_seconds(self.needed) as f64
    }

    /// Time taken over the floor; for the first one, shows where it was lost.
    fn ratio(&self, seed: u64) -> f64 {
        let (name, requests, floor) = (self.name, self.requests(), self.floor());
        let (stats, arrivals) = self.simulation(seed).watched();
        assert_eq!(stats.admitted, requests, "{name}, seed {seed}");
        assert_eq!(stats.refused, 0, "{name}, seed {seed}");
        let took = stats.last_admitted_at - arrivals[0].at;
        if seed == 1 {
            tell(&format!(
                "{name}, seed {seed}: {requests} requests, floor {floor} s, took {took:.1} s"
            ));
            minutes(&arrivals).iter().for_each(tell_minute);
        }
        took / floor
    }

    fn simulation(&self, seed: u64) -> Simulation {
        let limiter = Limiter::new(Algorithm::FromFirst, self.limit, 60.0);
        let mut simulation = Simulation::new(limiter, PacerSettings::shop(Some(self.limit), 1.0));
        simulation.network = NETWORK;
        simulation.import = Some(Import {
            stages: self.stages(),
            pause: PAUSE,
            most_in_flight: 96,
        });
        simulation.seed = seed;
        simulation.epoch += seed as f64 * 0.13;
        simulation
    }
}

#[expect(clippy::print_stdout, reason = "the table is what these tests are for")]
fn tell(line: &str) {
    println!("{line}");
}

fn tell_minute(minute: &Minute) {
    tell(&format!(
        "    minute at {:7.2}: dead {:5.2} s, budget spent after {:5.2} s ({} unused), {:2} after \
         it {:5.3} s apart, {:4.1} seconds unused",
        minute.began,
        minute.dead,
        minute.burst,
        minute.unused,
        minute.overflow,
        minute.spacing,
        minute.seconds_unused,
    ));
}

#[test]
fn short_imports_keep_close_to_the_floor() {
    for case in &CASES {
        let ratios: Vec<f64> = (1..=SEEDS).map(|seed| case.ratio(seed)).collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        let (name, max) = (case.name, case.max);
        tell(&format!("{name:30} mean {mean:.3} worst {worst:.3}"));
        assert!(mean <= max, "{name}: {mean}");
    }
}
