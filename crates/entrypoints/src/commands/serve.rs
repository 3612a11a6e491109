//! `salla-sync serve`: the doors over HTTP, until a stop is requested.

use std::sync::Arc;

use importer::connect::ConnectSettings;
use importer::duties::repeat;
use importer::ports::clock::{Clock, SystemClock};
use jiff::SignedDuration;
use web::server::Limits;

use crate::cli::{DatabaseArgs, ServeArgs};
use crate::commands::import::stop_on_signal;
use crate::config::{
    AppSettings, Channels, DatabaseSettings, SettingsReader, WebSettings, environment,
};
use crate::display::inform;
use crate::exit::Exit;
use crate::monitoring::{MonitoringServer, ProcessMonitor, install_metrics};
use crate::wiring::web::{Behind, OwnRows, WebParts, own_rows};
use crate::wiring::{self, OpenDatabase, PoolSize, service};

/// With a worker in the same process, for what must not wait behind imports.
const CONNECTIONS_OF_DOORS: u32 = 12;

pub async fn run(arguments: ServeArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let mut reader = SettingsReader::new(&environment);
    let settings = reader.database(database);
    let salla = reader.app();
    let credentials = salla.as_ref().map(AppSettings::credentials);
    if matches!(credentials, Some(None)) {
        reader.app_keys_are_missing();
    }
    let channels = reader.channels();
    let retention = reader.retention();
    let web = reader.web();
    let queue = reader.queue();
    let key = reader.encryption_key();
    let is_embedded = matches!(settings, Some(DatabaseSettings::Embedded { .. }));
    if key.is_none() && !is_embedded {
        reader.key_is_missing();
    }
    let given = settings.zip(salla).zip(credentials.flatten());
    let ((settings, salla), credentials) = reader.finish(given)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    // Early, so that a server that cannot have its address does not begin.
    let listening = MonitoringServer::bind(arguments.listen).await?;
    let pool = PoolSize::for_worker(arguments.connections);
    let open = wiring::open_database_with(&settings, key, clock.clone(), pool).await?;
    let open = open.with_queues(&queue).await?;
    open.check_ready_for_import(clock.as_ref()).await?;
    let open = Arc::new(open);
    let parts = WebParts {
        salla,
        credentials,
        web,
        channels,
        connect: ConnectSettings {
            import: arguments.import_on_connect.depth(),
            may_write: arguments.allow_write_scopes,
            claimed_only: arguments.claimed_only,
        },
    };
    let worker = match arguments.with_worker {
        true => Some(worker(&open, &parts, &arguments, retention, &clock)?),
        false => None,
    };
    // Imports take all the connections that they can get.
    let at_the_doors = match arguments.with_worker {
        true => Arc::new(open.beside(CONNECTIONS_OF_DOORS)),
        false => open.clone(),
    };
    let own_rows = own_rows(&at_the_doors).await?;
    let behind = Behind::new(&at_the_doors, &parts, &clock)?;
    let recorded = install_metrics()?;
    let observed = ProcessMonitor::new(recorded, &open.queues, clock.clone());
    let keep_fresh = arguments.keep_fresh.filter(|_| arguments.with_worker);
    let observed = Arc::new(observed.keeping_fresh(keep_fresh));
    let doors = behind.doors(
        &at_the_doors,
        own_rows.database(),
        &parts.web,
        observed.clone(),
        &clock,
    )?;

    let stop = stop_on_signal();
    say(
        &arguments,
        &listening,
        &own_rows,
        &parts.web,
        &parts.channels,
    );
    let stopping = stop.clone();
    let served =
        listening.serve_router(web::router(doors), Limits::PUBLIC, &observed, async move {
            stopping.requested().await
        });
    let worked = async {
        if let Some(worker) = &worker {
            worker.run(&stop).await;
        } else {
            open.queues.forward_until(&stop).await;
        }
    };
    let settled = behind.connect.settle_arrivals_until(&stop);
    let upkeep = behind.upkeep(&open);
    let kept_up = repeat(&upkeep, clock.as_ref(), &stop);
    tokio::join!(served, worked, settled, kept_up);
    behind.finish().await;
    Ok(Exit::Done)
}

fn worker(
    open: &OpenDatabase,
    parts: &WebParts,
    arguments: &ServeArgs,
    retention: Option<SignedDuration>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<service::Service> {
    let settings = service::ServiceSettings {
        salla: parts.salla.clone(),
        jobs: usize::from(arguments.jobs),
        import: wiring::import_settings(arguments.budget_share),
        channels: parts.channels.clone(),
        keep_fresh: arguments.keep_fresh,
        retention,
    };
    Ok(service::Service::new(open, settings, clock.clone())?)
}

/// Which doors are open, and which are not and why.
fn say(
    arguments: &ServeArgs,
    listening: &MonitoringServer,
    own_rows: &OwnRows,
    web: &WebSettings,
    channels: &Channels,
) {
    let address = listening.address();
    inform(format!(
        "Serving on http://{address}. Ctrl-C or SIGTERM stops."
    ));
    match web.redirect_uri() {
        Some(redirect) => inform(format!(
            "  Shops connect at /connect; the app's redirect URL at Salla must be {redirect}"
        )),
        None => inform("  Shops cannot connect by consent: SALLA_SYNC_PUBLIC_URL is not set"),
    }
    match web.webhook_secrets.len() {
        0 => inform("  Webhooks are refused: SALLA_WEBHOOK_SECRET is not set"),
        1 => inform("  Webhooks are accepted at /webhooks/salla"),
        _ => {
            inform("  Webhooks are accepted at /webhooks/salla, signed with either of two secrets")
        }
    }
    match &web.embedded {
        Some(embedded) => inform(format!(
            "  {} is the page inside {}",
            web::embedded::PATH,
            embedded.ancestors.join(", ")
        )),
        None => inform("  There is no page inside Salla's dashboard: SALLA_APP_ID is not set"),
    }
    inform(match own_rows {
        OwnRows::ByDatabase(_) => "  The database also keeps merchants apart",
        OwnRows::ByQueries(_) => {
            "  Only queries keep merchants apart: `salla-sync roles create` makes the database do \
             it too"
        }
    });
    if !arguments.with_worker {
        inform("  Imports are left to `salla-sync work`");
    }
    if channels.operators.is_none() {
        tracing::info!("operators are notified in the log only");
    }
}
