//! Kinds of limiters and the rhythm that must result.

use domain::plan::{Budget, customers_floor_seconds};
use salla_client::pacing::{NoHeadersPolicy, PacerSettings};

use crate::limiter::{Algorithm, Edge, Limiter};
use crate::simulation::{Jitter, Network, OtherApp, Simulation, Stats};

/// Time taken over the least time that the limits allow (`domain::plan`).
fn ratio(stats: &Stats, limit: u32, share: f64) -> f64 {
    let budget = Budget {
        requests_per_minute: Some(limit),
        share,
    };
    stats.last_admitted_at / budget.floor_seconds(stats.admitted) as f64
}

fn per_ten_thousand(stats: &Stats) -> f64 {
    stats.refused as f64 * 10_000.0 / stats.admitted as f64
}

fn report(name: &str, stats: &Stats, ratio: f64) {
    tell(&format!(
        "{name:44} {:6} admitted {:3} refused ({:.2} of 10,000)  ratio {ratio:.4}",
        stats.admitted,
        stats.refused,
        per_ten_thousand(stats)
    ));
}

#[expect(clippy::print_stdout, reason = "the table is what these tests are for")]
fn tell(line: &str) {
    println!("{line}");
}

fn check(name: &str, simulation: Simulation, max_refused: f64) {
    let (limit, share) = (simulation.limiter.limit, simulation.settings.share);
    let stats = simulation.run();
    let ratio = ratio(&stats, limit, share);
    report(name, &stats, ratio);
    assert!(per_ten_thousand(&stats) <= max_refused, "{name}: {stats:?}");
    assert!(ratio <= 1.05, "{name}: {ratio}");
}

fn shop(algorithm: Algorithm, limit: u32) -> Simulation {
    let limiter = Limiter::new(algorithm, limit, 60.0);
    Simulation::new(limiter, PacerSettings::shop(Some(limit), 1.0))
}

#[test]
fn a_fixed_period_is_used_to_the_full_on_each_plan() {
    for algorithm in [Algorithm::FromFirst, Algorithm::Aligned] {
        for limit in [60, 120, 360, 720] {
            for round_trip in [0.02, 0.2, 0.5] {
                let mut simulation = shop(algorithm, limit);
                simulation.network = Network::steady(round_trip);
                check(
                    &format!("{algorithm:?} {limit}/min, {round_trip} s"),
                    simulation,
                    1.0,
                );
            }
        }
    }
}

#[test]
fn jitter_on_the_way_and_at_work_costs_neither_refusals_nor_time() {
    let ways = [
        (
            "jitter on the way there",
            Network {
                up: Jitter(0.02, 0.06),
                held_up: 0.0,
                work: Jitter(0.1, 0.0),
                down: Jitter(0.02, 0.0),
            },
        ),
        (
            "jitter at work",
            Network {
                up: Jitter(0.03, 0.005),
                held_up: 0.0,
                work: Jitter(0.1, 0.2),
                down: Jitter(0.03, 0.02),
            },
        ),
        (
            "jitter everywhere",
            Network {
                up: Jitter(0.02, 0.03),
                held_up: 0.0,
                work: Jitter(0.1, 0.1),
                down: Jitter(0.02, 0.03),
            },
        ),
    ];
    for (name, network) in ways {
        for limit in [120, 360, 720] {
            let mut simulation = shop(Algorithm::FromFirst, limit);
            simulation.network = network;
            check(&format!("{name}, {limit}/min"), simulation, 1.0);
        }
    }
}

#[test]
fn a_leaky_bucket_is_kept_as_full_as_it_drains() {
    for limit in [60, 120, 360, 720] {
        for round_trip in [0.02, 0.2, 0.5] {
            let mut simulation = shop(Algorithm::Leaky, limit);
            simulation.network = Network::steady(round_trip);
            let stats = simulation.run();
            let allowed = f64::from(limit) * (1.0 + stats.last_admitted_at / 60.0);
            let ratio = allowed / stats.admitted as f64;
            report(&format!("Leaky {limit}/min, {round_trip} s"), &stats, ratio);
            assert!(per_ten_thousand(&stats) <= 1.0, "{limit}: {stats:?}");
            assert!(ratio <= 1.05, "{limit}: {ratio}");
        }
    }
}

#[test]
fn without_the_date_header_the_reset_is_found_by_requests() {
    for limit in [120, 360, 720] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.date = false;
        check(&format!("no Date, {limit}/min"), simulation, 1.0);
    }
}

#[test]
fn a_share_leaves_the_rest_and_the_seconds_alone() {
    for (limit, share) in [(120, 0.6), (360, 0.6), (720, 0.25), (60, 0.01)] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.settings = PacerSettings::shop(Some(limit), share);
        check(&format!("share {share} of {limit}/min"), simulation, 0.0);
    }
}

#[test]
fn a_restart_in_mid_minute_continues_where_the_budget_stands() {
    for limit in [120, 360] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.restarts = (1..200).map(|n| f64::from(n) * 47.3).collect();
        let restarts = simulation.restarts.len() as f64;
        let stats = simulation.run();
        let budget = Budget {
            requests_per_minute: Some(limit),
            share: 1.0,
        };
        // Each restart costs the second that the old process may have used up, and the
        // request with which the new one feels its way.
        let floor = budget.floor_seconds(stats.admitted) as f64 + 2.0 * restarts;
        let ratio = stats.last_admitted_at / floor;
        report(&format!("a restart every 47 s, {limit}/min"), &stats, ratio);
        assert_eq!(stats.refused, 0);
        assert!(ratio <= 1.05, "{ratio}");
    }
}

/// As turns of a function do it, some of them with a spent budget and some without.
#[test]
fn what_is_handed_over_often_is_not_refused_and_does_not_wait_for_nothing() {
    let mut world = shop(Algorithm::FromFirst, 120);
    world.hands_over = true;
    world.restarts = (1..500).map(|n| f64::from(n) * 7.3).collect();
    let handed_over = world.clone().run();
    assert_eq!(handed_over.refused, 0, "{handed_over:?}");
    world.hands_over = false;
    let killed = world.run();
    assert!(
        handed_over.admitted > killed.admitted,
        "{handed_over:?} {killed:?}"
    );
}

/// A new process knows nothing about the network. Neither its first few responses nor its first
/// bursts must make it too bold.
#[test]
fn restarts_are_rarely_refused_whether_ways_or_work_vary() {
    let ways = [
        ("the work varies", Jitter(0.02, 0.002), 0.0),
        ("the way varies a little", Jitter(0.02, 0.01), 0.0),
        ("some are held up on the way", Jitter(0.02, 0.0), 0.005),
        ("the way varies", Jitter(0.02, 0.03), 0.0),
    ];
    for (name, up, held_up) in ways {
        let mut simulation = shop(Algorithm::FromFirst, 720);
        simulation.network = Network {
            up,
            held_up,
            work: Jitter(0.11, 0.1),
            down: Jitter(0.02, 0.0),
        };
        simulation.restarts = (1..150).map(|n| f64::from(n) * 47.3).collect();
        let stats = simulation.run();
        let ratio = ratio(&stats, 720, 1.0);
        report(&format!("a restart every 47 s, {name}"), &stats, ratio);
        assert!(stats.refused <= 1, "{name}: {stats:?}");
    }
}

/// What the limiter had left for us, the seconds after exhaustion included, given what
/// the other app took.
fn ratio_beside_a_stranger(stats: &Stats, limit: u32) -> f64 {
    let budget = Budget {
        requests_per_minute: Some(limit),
        share: 1.0,
    };
    let all = stats.admitted + stats.other_apps;
    stats.last_admitted_at / budget.floor_seconds(all) as f64
}

/// What the other app left of the budget itself, over what we took of it.
fn ratio_of_budget(stats: &Stats, limit: u32) -> f64 {
    let budget = f64::from(limit) * stats.last_admitted_at / 60.0;
    (budget - stats.strangers_within as f64) / stats.within as f64
}

/// Two hours beside another app.
///
/// What is sacrificed here is the one request a second after exhaustion. While another app lives on
/// those seconds too, each of them is a race that one of us loses, and `Remaining` is 0 in either
/// case. At 0.05 requests a second the other app meets the few hundredths between two of ours about
/// once in 800 seconds, which is four refusals in 10,000 of our requests and in nearly all of its
/// requests. So the seconds are left unused, and the ratio that must hold is that of the budget
/// itself.
fn check_beside_a_stranger(name: &str, simulation: Simulation, max_refused: u64) -> Stats {
    let limit = simulation.limiter.limit;
    let stats = simulation.run();
    let ratio = ratio_of_budget(&stats, limit);
    report(name, &stats, ratio_beside_a_stranger(&stats, limit));
    tell(&format!(
        "{:44} of the budget {ratio:.4}, the other app {} admitted {} refused",
        "", stats.other_apps, stats.other_apps_refused
    ));
    assert!(stats.refused <= max_refused, "{name}: {stats:?}");
    assert!(ratio <= 1.05, "{name}: {ratio}");
    stats
}

#[test]
fn another_app_on_the_same_budget_is_noticed() {
    for (limit, rate) in [(120, 0.05), (120, 0.3), (120, 1.0), (360, 1.0), (720, 3.0)] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.other_app = Some(OtherApp::Steady(rate));
        // In two hours at most the one from which we learn of the other app, where it
        // stays out of sight until we meet it after exhaustion.
        let name = format!("another app at {rate}/s, {limit}/min");
        check_beside_a_stranger(&name, simulation, 1);
    }
}

#[test]
fn another_app_that_comes_in_bursts_is_remembered_from_one_to_the_next() {
    for limit in [120, 360] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.other_app = Some(OtherApp::Bursts(30, 300.0));
        // A burst may meet one of our seconds before we have ever seen another, and
        // once more in 10,000 requests.
        check_beside_a_stranger(
            &format!("30 together every 5 min, {limit}/min"),
            simulation,
            2,
        );
    }
}

#[test]
fn the_seconds_come_back_when_the_other_app_has_gone() {
    for limit in [120, 360] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.other_app = Some(OtherApp::Steady(0.3));
        simulation.stranger_until = simulation.half_time();
        let late = simulation.seconds - simulation.half_time();
        let name = format!("another app for an hour, {limit}/min");
        let stats = check_beside_a_stranger(&name, simulation, 1);
        // Eleven minutes of the second hour go by before it counts as gone.
        let budget = Budget {
            requests_per_minute: Some(limit),
            share: 1.0,
        };
        let waited = 11.0 * 60.0;
        let silent =
            waited - budget.floor_seconds((waited / 60.0) as u64 * u64::from(limit)) as f64;
        let ratio = (late - silent) / budget.floor_seconds(stats.admitted_late) as f64;
        tell(&format!("{:44} in the second hour {ratio:.4}", ""));
        assert!(ratio <= 1.05, "{name}: {ratio}");
    }
}

#[test]
fn a_limiter_without_the_second_after_exhaustion_is_left_alone_soon() {
    for (limit, retry_after) in [(120, true), (120, false), (360, true), (360, false)] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.limiter.overflow = false;
        simulation.limiter.retry_after = retry_after;
        let stats = simulation.run();
        let allowed = f64::from(limit) * (1.0 + (stats.last_admitted_at / 60.0).floor());
        let ratio = allowed / stats.admitted as f64;
        report(
            &format!("strict, {limit}/min, Retry-After {retry_after}"),
            &stats,
            ratio,
        );
        // The first is free, and any other is paid for by 20,000 accepted requests.
        assert!(stats.refused <= 3, "{stats:?}");
        assert!(ratio <= 1.05, "{ratio}");
    }
}

/// Of the second of two hours.
fn late_ratio(stats: &Stats, late: f64, limit: u32) -> f64 {
    let budget = Budget {
        requests_per_minute: Some(limit),
        share: 1.0,
    };
    late / budget.floor_seconds(stats.admitted_late) as f64
}

/// Nearly a hundred requests are refused together, which is one lesson and not a hundred.
#[test]
fn a_limit_that_is_lowered_in_the_midst_of_a_burst_costs_minutes() {
    for retry_after in [true, false] {
        let mut simulation = shop(Algorithm::FromFirst, 720);
        simulation.in_flight = 96;
        simulation.limiter.retry_after = retry_after;
        simulation.limiter.lowered = Some((simulation.epoch + 1_800.0, 120));
        let late = simulation.seconds - simulation.half_time();
        let stats = simulation.run();
        let ratio = late_ratio(&stats, late, 120);
        let name = format!("720 lowered to 120, Retry-After {retry_after}");
        report(&name, &stats, ratio);
        assert!((60..=100).contains(&stats.refused), "{name}: {stats:?}");
        assert!(ratio <= 1.05, "{name}: {ratio}");
    }
}

#[test]
fn a_burst_that_the_edge_refuses_costs_minutes() {
    for limit in [120, 360, 720] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.edge = Some(Edge {
            from: simulation.half_time(),
            in_flight: 20,
            refusals: 20,
        });
        let late = simulation.seconds - simulation.half_time();
        let stats = simulation.run();
        let ratio = late_ratio(&stats, late, limit);
        let name = format!("a burst refused by the edge, {limit}/min");
        report(&name, &stats, ratio);
        // One more may find out whether late responses mean late arrivals.
        assert!((20..=21).contains(&stats.refused), "{name}: {stats:?}");
        assert!(ratio <= 1.05, "{name}: {ratio}");
    }
}

#[test]
fn customers_have_ten_minutes_and_nothing_after() {
    for (headers, name) in [(true, "with headers"), (false, "without headers")] {
        let mut limiter = Limiter::new(Algorithm::FromFirst, 500, 600.0);
        limiter.overflow = false;
        let mut simulation = Simulation::new(limiter, PacerSettings::customers());
        simulation.headers = headers;
        let stats = simulation.run();
        let floor = customers_floor_seconds(stats.admitted) as f64;
        let ratio = (stats.last_admitted_at - 600.0).max(0.0) / (floor - 600.0).max(1.0);
        report(&format!("customers {name}"), &stats, ratio);
        assert_eq!(stats.refused, 0);
        assert!(ratio <= 1.05, "{ratio}");
    }
}

#[test]
fn without_rate_headers_the_plan_is_spread_evenly() {
    for limit in [120, 360, 720] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.headers = false;
        let stats = simulation.run();
        let ratio = f64::from(limit) * stats.last_admitted_at / 60.0 / stats.admitted as f64;
        report(&format!("no headers, {limit}/min"), &stats, ratio);
        assert_eq!(stats.refused, 0);
        assert!(ratio <= 1.05, "{ratio}");
    }
}

#[test]
fn a_limiter_without_headers_may_be_taken_for_unlimited() {
    let mut limiter = Limiter::new(Algorithm::FromFirst, u32::MAX, 60.0);
    limiter.overflow = false;
    let mut settings = PacerSettings::shop(None, 1.0);
    settings.without_headers = NoHeadersPolicy::Unlimited;
    let mut simulation = Simulation::new(limiter, settings);
    simulation.headers = false;
    simulation.seconds = 60.0;
    let stats = simulation.run();
    // 32 in flight, 0.2 s each.
    assert!(stats.admitted > 60 * 32 * 5 * 95 / 100, "{stats:?}");
}

#[test]
fn requests_whose_responses_report_another_budget_are_counted_by_us() {
    for limit in [120, 360] {
        let mut simulation = shop(Algorithm::FromFirst, limit);
        simulation.headers = false;
        simulation.elsewhere = true;
        check(
            &format!("answers of another budget, {limit}/min"),
            simulation,
            1.0,
        );
    }
}
