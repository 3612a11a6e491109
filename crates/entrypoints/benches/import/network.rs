//! The import over the ways in which a database is reached, beside the `COPY` of the same
//! rows over the same way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cost::{Cost, of_import};
use crate::link::Link;
use crate::plain_copy;
use crate::server::BenchServer;
use crate::throughput::{CUSTOMERS, PRODUCTS, unlimited};

/// As elsewhere the fastest round counts, and the ways take turns.
const ROUNDS: usize = 3;

const DELAYS_MS: [u64; 2] = [1, 5];

/// A way to the database.
pub(crate) enum Way {
    Socket,
    Tcp,
    /// Through a connection with this delay each way.
    Link(Duration, Link),
}

impl Way {
    fn name(&self) -> String {
        match self {
            Self::Socket => "unix socket".to_owned(),
            Self::Tcp => "TCP".to_owned(),
            Self::Link(delay, _) => format!("TCP, {} ms each way", delay.as_millis()),
        }
    }

    fn round_trips(&self) -> Option<u64> {
        match self {
            Self::Link(_, link) => Some(link.round_trips()),
            Self::Socket | Self::Tcp => None,
        }
    }
}

/// An import over one way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reached {
    pub(crate) import: Cost,
    pub(crate) copy: Cost,
    /// Where they were counted.
    pub(crate) round_trips: Option<u64>,
}

pub(crate) async fn measure(server: &BenchServer, orders: u64) -> anyhow::Result<Vec<Reached>> {
    let mut ways = vec![Way::Socket, Way::Tcp];
    for delay in DELAYS_MS.map(Duration::from_millis) {
        ways.push(Way::Link(delay, Link::to(server.tcp_address(), delay)?));
    }
    let mut best: Vec<Option<Reached>> = ways.iter().map(|_| None).collect();
    for _ in 0..ROUNDS {
        for (way, best) in ways.iter().zip(&mut best) {
            let round = one_round(server, way, orders).await?;
            let best = best.get_or_insert_with(|| round.clone());
            if round.import.seconds < best.import.seconds {
                (best.import, best.round_trips) = (round.import, round.round_trips);
            }
            if round.copy.seconds < best.copy.seconds {
                best.copy = round.copy;
            }
        }
    }
    Ok(best.into_iter().flatten().collect())
}

async fn one_round(server: &BenchServer, way: &Way, orders: u64) -> anyhow::Result<Reached> {
    let scenario = unlimited(orders, CUSTOMERS, PRODUCTS);
    let before = way.round_trips();
    let (import, database_url) =
        of_import(server, (way.name().as_str(), way), &scenario, false).await?;
    let round_trips = way
        .round_trips()
        .zip(before)
        .map(|(after, before)| after - before);
    let copy = plain_copy::measure(server, way, &database_url, orders).await?;
    Ok(Reached {
        import,
        copy,
        round_trips,
    })
}
