//! The merchant of the demo, who connects the simulated shop with a browser: through the server,
//! to the simulated Salla, and back.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use domain::shop::MerchantId;
use importer::connect::ConnectSettings;
use importer::ports::claims::SyncDepth;
use importer::ports::clock::Clock;
use importer::stop::{StopHandle, stop_pair};
use reqwest::header::{COOKIE, HeaderName, LOCATION, SET_COOKIE};
use tokio::task::JoinHandle;
use url::Url;
use web::server::Limits;

use crate::config::{AppSettings, Channels, WebSettings};
use crate::display::note;
use crate::monitoring::{MonitoringServer, ProcessMonitor, install_metrics};
use crate::wiring::OpenDatabase;
use crate::wiring::web::{Behind, WebParts, own_rows};

/// `salla-sync serve`, in this process and on a free port; it stops when it is dropped.
pub(super) struct Server {
    public_url: Url,
    open: Arc<OpenDatabase>,
    _stop: StopHandle,
    served: JoinHandle<()>,
}

pub(super) async fn serve(
    open: &Arc<OpenDatabase>,
    salla: &AppSettings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Server> {
    let listening = MonitoringServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let public_url = Url::parse(&format!("http://{}", listening.address()))?;
    let parts = WebParts {
        salla: salla.clone(),
        credentials: salla.credentials().context("the demo's app has keys")?,
        web: WebSettings {
            public_url: Some(public_url.clone()),
            ..WebSettings::default()
        },
        channels: Channels::default(),
        connect: ConnectSettings {
            import: Some(SyncDepth::Months12),
            may_write: false,
            claimed_only: false,
        },
    };
    let behind = Behind::new(open, &parts, clock)?;
    let observed = ProcessMonitor::new(install_metrics()?, &open.queues, clock.clone());
    let observed = Arc::new(observed);
    let own_rows = own_rows(open).await?;
    let doors = behind.doors(
        open,
        own_rows.database(),
        &parts.web,
        observed.clone(),
        clock,
    )?;
    let (stop, stopped) = stop_pair();
    let served = tokio::spawn(async move {
        let router = web::router(doors);
        let stopped = async move { stopped.requested().await };
        listening
            .serve_router(router, Limits::PUBLIC, &observed, stopped)
            .await;
    });
    Ok(Server {
        public_url,
        open: open.clone(),
        _stop: stop,
        served,
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Server {
    /// Where e-mails lead; the demo has no page to sign in on.
    pub(super) fn sign_in(&self) -> &Url {
        &self.public_url
    }

    /// From `/connect` to the page that says that the shop is connected; its import is queued
    /// by then.
    pub(super) async fn connect_a_shop(&self) -> anyhow::Result<MerchantId> {
        // Each step is checked, so redirects are not followed.
        let browser = salla_client::http::token_client()?;
        let begin = self.public_url.join("connect")?;
        note(format!(
            "The merchant opens {begin} and consents at Salla …"
        ));
        let sent = browser.get(begin).send().await?;
        let header = |response: &reqwest::Response, name: HeaderName| {
            let value = response.headers().get(name);
            let value = value.and_then(|value| value.to_str().ok());
            value.map(str::to_owned).context("the server leads nowhere")
        };
        let cookie = header(&sent, SET_COOKIE)?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let consented = browser.get(header(&sent, LOCATION)?).send().await?;
        let back = header(&consented, LOCATION)?;
        let page = browser.get(back).header(COOKIE, cookie).send().await?;
        let status = page.status();
        anyhow::ensure!(
            status.is_success(),
            "the merchant returned, but the shop was not connected (status {status})"
        );
        note("… and returns: the shop is connected, its import is queued.");
        let shops = self.open.runs().list().await?;
        let connected = shops.into_iter().next();
        let (shop, _) = connected.context("the connected shop is missing")?;
        Ok(shop.merchant)
    }
}
