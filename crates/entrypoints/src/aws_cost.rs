//! What an import costs on AWS beside the database: prices, and what is used.
//!
//! List prices of us-east-1 for arm64 in November 2026, in US dollars and without free tiers;
//! other regions cost up to a third more.

use serde::Serialize;

const GB_SECOND: f64 = 0.000_013_333_4;
const MILLION_INVOCATIONS: f64 = 0.20;
const MILLION_QUEUE_REQUESTS: f64 = 0.40;
const NAT_GB: f64 = 0.045;
const NAT_HOUR: f64 = 0.045;
const ADDRESS_HOUR: f64 = 0.005;
const FARGATE_CPU_HOUR: f64 = 0.032_38;
const FARGATE_GB_HOUR: f64 = 0.003_56;
const HOURS_OF_A_MONTH: f64 = 730.0;

/// The worker of deploy/aws/template.yaml.
const MEMORY_GB: f64 = 0.5;
/// Its time, without the end in which it releases the run.
const TURN_SECONDS: f64 = 890.0;
/// Salla's responses, compressed, with their requests: a page of 60 orders is some 40 kB, one order
/// some 3 kB.
const PAGE_KB: f64 = 45.0;
const DETAIL_KB: f64 = 4.0;
/// For each turn a message is sent, received, checked and deleted, and deleted once more by
/// Lambda.
const QUEUE_REQUESTS_OF_A_TURN: f64 = 6.0;
/// Between two extensions of a message's lease.
const EXTENSION_SECONDS: f64 = 15.5;

/// What one import costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ImportCost {
    pub invocations: u64,
    pub gb_seconds: f64,
    pub queue_requests: u64,
    /// Through the NAT gateway.
    pub nat_gb: f64,
    pub dollars: Dollars,
    /// The same import in a container of a quarter of a processor and 0.5 GB.
    pub container_dollars: f64,
    /// NAT gateway and address, whether anything is imported or not.
    pub dollars_each_month: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dollars {
    pub lambda: f64,
    pub sqs: f64,
    pub nat: f64,
    pub total: f64,
}

/// Of an import that sends `requests`, of which `details` are for single orders, and takes
/// `seconds`: mostly the floor, since it waits for Salla.
pub fn of_import(requests: u64, details: u64, seconds: u64) -> ImportCost {
    let seconds = seconds as f64;
    let turns = (seconds / TURN_SECONDS).ceil().max(1.0);
    let gb_seconds = seconds * MEMORY_GB;
    let queue_requests = turns * QUEUE_REQUESTS_OF_A_TURN + (seconds / EXTENSION_SECONDS).ceil();
    let (pages, details) = (requests.saturating_sub(details) as f64, details as f64);
    let nat_gb = (pages * PAGE_KB + details * DETAIL_KB) / 1e6;
    let lambda = gb_seconds * GB_SECOND + turns / 1e6 * MILLION_INVOCATIONS;
    let sqs = queue_requests / 1e6 * MILLION_QUEUE_REQUESTS;
    let nat = nat_gb * NAT_GB;
    let container_hour = FARGATE_CPU_HOUR / 4.0 + FARGATE_GB_HOUR * MEMORY_GB;
    ImportCost {
        invocations: turns as u64,
        gb_seconds,
        queue_requests: queue_requests as u64,
        nat_gb,
        dollars: Dollars {
            lambda,
            sqs,
            nat,
            total: lambda + sqs + nat,
        },
        container_dollars: seconds / 3_600.0 * container_hour + nat,
        dollars_each_month: (NAT_HOUR + ADDRESS_HOUR) * HOURS_OF_A_MONTH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_costs_its_time_and_what_it_reads() {
        // 50,000 orders of an app that needs each one's details, on the smallest plan.
        let long = of_import(50_834, 50_000, 24_000);
        assert_eq!((long.invocations, long.gb_seconds), (27, 12_000.0));
        assert_eq!(long.queue_requests, 27 * 6 + 1_549);
        let cents = (long.dollars.total * 100.0).round();
        assert_eq!(cents, 17.0, "{long:?}");
        // The same in a container that does nothing else.
        assert!(
            long.container_dollars < long.dollars.total / 1.5,
            "{long:?}"
        );
        let short = of_import(834, 0, 60);
        assert_eq!(short.invocations, 1);
        assert!(short.dollars.total < 0.01, "{short:?}");
        assert_eq!(of_import(0, 0, 0).invocations, 1);
        assert_eq!((long.dollars_each_month * 10.0).round(), 365.0);
    }
}
