//! Connects every shop and starts its import.

use std::sync::Arc;

use domain::resource::Resource;
use domain::window::DayRange;
use entrypoints::config::{AppKeys, AppSettings, DatabaseSettings, EGRESS_GROUP, SallaSettings};
use entrypoints::wiring;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::connections::Tokens;
use importer::ports::runs::{RunOptions, RunScope};

use crate::KEY;
use crate::asked::Asked;
use crate::database::MeasuredDatabase;
use crate::salla::Address;

const CONNECT_AT_ONCE: usize = 50;

pub(crate) async fn start_all(
    asked: &Asked,
    salla: &Address,
    database: &MeasuredDatabase,
) -> anyhow::Result<()> {
    let clock: Arc<SystemClock> = Arc::new(SystemClock::real());
    let settings = DatabaseSettings::Url(database.url.as_str().into());
    let open = wiring::open_database(&settings, Some(KEY.to_owned().into()), clock.clone()).await?;
    let today = domain::instant::riyadh_date(clock.now());
    let range = DayRange::last_months(today, 12);
    let open = &open;
    let starts = (0..).zip(&salla.shops).map(|(number, shop)| {
        let clock = clock.clone();
        let options = RunOptions {
            months: 12,
            max_orders: None,
            keep_raw: true,
            only: (number >= asked.whole).then_some(RunScope {
                resource: Resource::Orders,
                days: None,
            }),
        };
        async move {
            let settings = settings_of(salla, shop)?;
            let connected = wiring::connect_and_store(open, &settings, clock).await?;
            let jobs = open.jobs();
            jobs.start(connected.merchant, &options, range).await?;
            anyhow::Ok(())
        }
    });
    stream::iter(starts)
        .buffer_unordered(CONNECT_AT_ONCE)
        .try_collect::<()>()
        .await?;
    open.database.close().await;
    Ok(())
}

fn settings_of(
    salla: &Address,
    (access, refresh): &(String, String),
) -> anyhow::Result<SallaSettings> {
    Ok(SallaSettings {
        app: AppSettings {
            api_url: salla.api_url.parse()?,
            accounts_url: salla.accounts_url.parse()?,
            egress_group: EGRESS_GROUP.to_owned(),
            keys: Some(AppKeys {
                client_id: salla.client_id.clone(),
                client_secret: salla.client_secret.as_str().into(),
            }),
        },
        tokens: Tokens {
            access: access.as_str().into(),
            refresh: Some(refresh.as_str().into()),
            expires_at: None,
            scope: None,
        },
    })
}
