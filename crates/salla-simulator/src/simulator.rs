//! The handle that tests hold: start, ask, change, stop.

use crate::accounts::{CLIENT_ID, CLIENT_SECRET};
use crate::clock::SimClock;
use crate::endpoint::Endpoint;
use crate::ledger::LedgerReport;
use crate::platform::Platform;
use crate::scenario::{Fault, Outage, OutageLength, Scenario};
use crate::server;
use crate::shop::ShopSpec;
use crate::shop_handle::ShopHandle;
use crate::truth::{ShopView, Truth};
use anyhow::Context;
use jiff::civil::Date;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running simulator. It stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    platform: Arc<Platform>,
    first: ShopHandle,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts on a free port of this machine.
    pub async fn start(scenario: Scenario) -> anyhow::Result<Self> {
        Self::start_on(scenario, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn start_on(scenario: Scenario, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let platform = Arc::new(Platform::new(scenario));
        let first = platform.shop(0).context("a platform has its first shop")?;
        tracing::info!(seed = platform.scenario().seed, %address, "the simulated Salla listens");
        Ok(Self {
            first: ShopHandle {
                platform: platform.clone(),
                state: first,
            },
            server: tokio::spawn(server::serve(listener, platform.clone())),
            platform,
            address,
        })
    }

    /// The base of the Merchant API.
    pub fn api_url(&self) -> String {
        format!("http://{}/admin/v2", self.address)
    }

    /// The base of the OAuth endpoints.
    pub fn accounts_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where a token of the dashboard is introspected.
    pub fn introspect_url(&self) -> String {
        format!("http://{}/exchange-authority/v1/introspect", self.address)
    }

    /// The dashboard with the page of the scenario's app in it.
    pub fn dashboard_url(&self) -> String {
        let app_id = &self.scenario().embedded.app_id;
        format!("http://{}/embedded/app/{app_id}", self.address)
    }

    pub fn client_id(&self) -> &'static str {
        CLIENT_ID
    }

    pub fn client_secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    /// The access token of the ready-made connection to the first shop.
    pub fn access_token(&self) -> &str {
        self.first.access_token()
    }

    pub fn refresh_token(&self) -> &str {
        self.first.refresh_token()
    }

    pub fn merchant_id(&self) -> i64 {
        self.first.merchant_id()
    }

    pub fn clock(&self) -> &SimClock {
        &self.platform.clock
    }

    /// The counts of all requests to all shops.
    pub fn ledger(&self) -> LedgerReport {
        self.platform.ledger_report()
    }

    pub fn reset_ledger(&self) {
        self.platform.reset_ledger();
    }

    /// The truth of the first shop for a window of Riyadh days.
    pub fn truth(&self, from: Date, to: Date) -> Truth {
        self.first.truth(from, to)
    }

    /// The first shop as it is now, for comparing row by row.
    pub fn shop(&self) -> ShopView {
        self.first.view()
    }

    pub fn scenario(&self) -> Arc<Scenario> {
        self.platform.scenario()
    }

    /// Changes the scenario for the requests to come. Shops and clock are
    /// fixed at the start; changes to them are without effect.
    pub fn set(&self, change: impl FnOnce(&mut Scenario)) {
        let mut scenario = Scenario::clone(&self.platform.scenario());
        change(&mut scenario);
        self.platform.set_scenario(scenario);
    }

    /// One fault for the next request to an endpoint.
    pub fn queue_fault(&self, endpoint: Endpoint, fault: Fault) {
        self.platform.queue_fault(endpoint, fault);
    }

    /// Lets the API fail from the next request on.
    pub fn begin_outage(&self, how: Fault, lasts: OutageLength) {
        let from_request = self.api_requests() + 1;
        self.set(|scenario| {
            scenario.outages.push(Outage {
                from_request,
                lasts,
                how,
            });
        });
    }

    /// How many requests to the API have arrived, as outages count them.
    pub fn api_requests(&self) -> u64 {
        self.platform.api_requests()
    }

    /// Returns once the ledger counts this number of requests.
    pub async fn until_requests(&self, number: u64) {
        self.until(|| self.ledger().requests >= number).await;
    }

    /// Returns once it is so, which is asked now and at every request that arrives.
    pub async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let arrival = self.platform.arrivals.notified();
            if is_so() {
                return;
            }
            arrival.await;
        }
    }

    /// The shop that `Scenario::shop` describes.
    pub fn first_shop(&self) -> &ShopHandle {
        &self.first
    }

    /// All shops, in the order in which they were added.
    pub fn shops(&self) -> Vec<ShopHandle> {
        let handle = |state| ShopHandle {
            platform: self.platform.clone(),
            state,
        };
        self.platform.shops().into_iter().map(handle).collect()
    }

    /// Another shop that installs the app now.
    pub fn add_shop(&self, spec: ShopSpec) -> ShopHandle {
        ShopHandle {
            platform: self.platform.clone(),
            state: self.platform.add_shop(spec),
        }
    }

    /// Stops and waits until the port and all connections are closed.
    pub async fn stop(mut self) {
        self.server.abort();
        // The only outcome of an aborted task is that it was aborted.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
