//! Chaos: seeded cases of a living shop, a moody Salla, and an importer that is
//! killed, stopped and cut off. Whatever happens, the tables must equal the truth in
//! the end. `scripts/chaos.sh` runs many seeds or replays one.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue must fail immediately"
)]

mod case;
mod checks;
mod disruption;
mod draw;
mod forgotten;
mod plan;
mod ports;
mod program;
mod refreshes;
mod scenario;
mod server;
mod service;
#[path = "../support/mod.rs"]
mod support;
mod trap;
mod twins;
mod workers;

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use plan::Plan;

/// The seeds of every run of the tests: short ones with most kinds of faults.
const FIXED: [u64; 12] = [0, 1, 3, 4, 5, 8, 10, 13, 17, 20, 42, 64];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_tables_equal_the_truth() {
    if let Some(filter) = setting("SALLA_CHAOS_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).init();
    }
    let seeds = seeds();
    let side_by_side = if seeds.len() > 1 { 2 } else { 1 };
    let begun = tokio::time::Instant::now();
    let limit = number("SALLA_CHAOS_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let there_is_time = |_: &u64| limit.is_none_or(|limit| begun.elapsed() < limit);
    let ends = futures::stream::iter(seeds.into_iter().take_while(there_is_time))
        // Separate tasks: while a case drops its database, the other one must be able to continue,
        // because the server waits for a backend that the other keeps waiting.
        .map(|seed| tokio::spawn(judged(seed)))
        .buffer_unordered(side_by_side);
    let failed: Vec<u64> = ends
        .filter_map(async |ended| ended.expect("what a case does is caught"))
        .collect()
        .await;
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

/// Runs one seed and prints how it went; gives it back if it failed.
#[expect(
    clippy::print_stdout,
    reason = "with many seeds you want to see each one's end"
)]
async fn judged(seed: u64) -> Option<u64> {
    let plan = Plan::of(seed);
    let begun = tokio::time::Instant::now();
    let running = std::panic::AssertUnwindSafe(case::run(&plan)).catch_unwind();
    let result = running
        .await
        .unwrap_or_else(|panic| Err(format!("it panicked: {:?}", words(&*panic))));
    let seconds = begun.elapsed().as_secs_f64();
    match result {
        Ok(end) => println!(
            "seed {seed}: {end:?} after {seconds:.1} s, {:?}, {:?}",
            plan.drift, plan.disruption
        ),
        Err(what) => {
            println!(
                "seed {seed}: FAILED after {seconds:.1} s; replay: scripts/chaos.sh --seed {seed}\n\
                 {plan:#?}\n{what}\nend of seed {seed}"
            );
            return Some(seed);
        }
    }
    None
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// One seed, or a number of seeds from some seed on, or the fixed few.
fn seeds() -> Vec<u64> {
    if let Some(seed) = number("SALLA_CHAOS_SEED") {
        return vec![seed];
    }
    let from = number("SALLA_CHAOS_FROM").unwrap_or(0);
    match number("SALLA_CHAOS_SEEDS") {
        Some(count) => (from..from + count).collect(),
        None => FIXED.to_vec(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment of a test selects its seeds"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn number(name: &str) -> Option<u64> {
    let text = setting(name)?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number")),
    )
}
