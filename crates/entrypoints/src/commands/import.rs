//! `salla-sync import`: the main job.

use std::sync::Arc;

use domain::certificate::Certificate;
use domain::failure::Failure;
use domain::plan::Plan;
use domain::rejection::RejectionLimit;
use domain::run::RunState;
use domain::shop::{MerchantId, ShopInfo};
use importer::import::progress::ProgressTracker;
use importer::import::{ImportOutcome, ImportSettings, Importer, Observer, Reading, import};
use importer::ports::clock::{Clock, SystemClock};
use importer::ports::runs::{Held, Run, RunOptions, RunScope, Runs};
use importer::stop::{StopSignal, stop_pair};
use salla_client::SallaClient;
use serde_json::json;

use crate::cli::{DatabaseArgs, ImportArgs, PartArgs, TokenArgs};
use crate::config::{SettingsReader, environment};
use crate::display::{self, inform, note};
use crate::exit::{Exit, Reported};
use crate::secrets;
use crate::wiring::{self, OpenDatabase};

pub async fn run(arguments: ImportArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let share = arguments.depth.budget_share;
    let ready = prepare_import(&arguments.tokens, share, database).await?;
    let options = RunOptions {
        months: arguments.depth.months,
        max_orders: arguments.depth.max_orders,
        keep_raw: !arguments.no_raw,
        only: None,
    };
    let mut settings = wiring::import_settings(share);
    settings.waits_for_lease = !arguments.waiting.no_wait;
    settings.rejection_limit = RejectionLimit {
        share: arguments.rejection_share,
        ..RejectionLimit::default()
    };
    let job = ImportJob {
        shop: ready.shop.clone(),
        options,
        reading: match (arguments.again, arguments.refresh_lists) {
            (true, _) => Reading::Everything,
            (false, true) => Reading::ChangesAndLists,
            (false, false) => Reading::Changes,
        },
        json: arguments.json,
    };
    ready.import(settings, &job).await
}

/// A shop that answers and a database that is up to date.
pub struct PreparedImport {
    open: OpenDatabase,
    platform: Arc<SallaClient>,
    clock: Arc<dyn Clock>,
    pub shop: ShopInfo,
    pub merchant: MerchantId,
}

impl PreparedImport {
    pub fn runs(&self) -> Arc<dyn Runs> {
        self.open.runs()
    }

    /// Reads a part of the shop, or everything, with this command's usual settings.
    pub async fn import_part(
        self,
        only: Option<RunScope>,
        months: u16,
        part: &PartArgs,
    ) -> anyhow::Result<Exit> {
        let job = ImportJob {
            shop: self.shop.clone(),
            options: RunOptions {
                months,
                max_orders: None,
                keep_raw: !part.no_raw,
                only,
            },
            reading: Reading::Changes,
            json: part.json,
        };
        let mut settings = wiring::import_settings(part.budget_share);
        settings.waits_for_lease = !part.waiting.no_wait;
        self.import(settings, &job).await
    }

    pub async fn import(self, settings: ImportSettings, job: &ImportJob) -> anyhow::Result<Exit> {
        let platform = self.open.forgetting(self.platform, self.merchant).await?;
        let outcome = run_with_progress(&self.open, platform, settings, self.clock, job).await?;
        Ok(report(job, outcome))
    }
}

/// Reads the settings, opens the database and connects the shop.
pub async fn prepare_import(
    tokens: &TokenArgs,
    share: f64,
    database: &DatabaseArgs,
) -> anyhow::Result<PreparedImport> {
    let mut reader = SettingsReader::new(&environment);
    let database = reader.database(database);
    let salla = reader.salla(tokens);
    let key = reader.encryption_key();
    let refreshes = salla.as_ref().is_some_and(|s| s.tokens.refresh.is_some());
    let embedded = matches!(
        database,
        Some(crate::config::DatabaseSettings::Embedded { .. })
    );
    if refreshes && key.is_none() && !embedded {
        reader.key_is_missing();
    }
    let (database, salla) = reader.finish(database.zip(salla))?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::real());
    let open = wiring::open_database(&database, key, clock.clone()).await?;
    open.check_ready_for_import(clock.as_ref()).await?;
    open.database.require_writable().await?;
    let shop = wiring::connect_shop(&open, &salla, share, clock.clone());
    let shop = tokio::select! {
        shop = shop => shop,
        // Ending immediately could cut off a token refresh.
        () = wiring::termination() => Err(Failure::Stopped),
    };
    let connected = shop.map_err(reported)?;
    open.require_agreeing_clocks(Some(connected.platform.as_ref()), clock.as_ref())
        .await?;
    note(format!(
        "Importing {} (plan {}) into {}.",
        connected.shop.name,
        connected.shop.plan.name(),
        database.describe()
    ));
    Ok(PreparedImport {
        platform: connected.platform,
        shop: connected.shop,
        merchant: connected.merchant,
        open,
        clock,
    })
}

/// What to import.
pub struct ImportJob {
    pub shop: ShopInfo,
    pub options: RunOptions,
    pub reading: Reading,
    pub json: bool,
}

/// Imports with a progress display, until done or interrupted by a signal.
pub async fn run_with_progress(
    open: &OpenDatabase,
    platform: Arc<dyn importer::ports::platform::Platform>,
    settings: importer::import::ImportSettings,
    clock: Arc<dyn Clock>,
    job: &ImportJob,
) -> anyhow::Result<ImportOutcome> {
    let (tracker, progress) = ProgressTracker::new();
    let importer = Importer {
        platform,
        landing: open.landing(),
        runs: open.runs(),
        clock: clock.clone(),
        tracker: Arc::new(tracker),
        settings,
    };
    let bar = tokio::spawn(async move {
        let wall = SystemClock::real();
        display::progress::show(progress, &wall).await;
    });
    let stop = stop_on_signal();
    let result = import(
        &importer,
        &job.shop,
        &job.options,
        job.reading,
        &ProgressPrinter {
            wanted: &job.options,
        },
        stop,
    )
    .await;
    // The bar ends when the tracker, its source, is gone.
    drop(importer);
    bar.await?;
    result.map_err(anyhow::Error::from)
}

/// Prints on standard error what happens to the run.
struct ProgressPrinter<'a> {
    wanted: &'a RunOptions,
}

impl Observer for ProgressPrinter<'_> {
    fn waiting(&self, held: &Held) {
        note(format!(
            "Another process ({}) is importing this shop. Waiting until its lease expires or it \
             stops, {} at most; --no-wait does not wait.",
            held.holder.owner,
            display::duration(held.lapses_in)
        ));
    }

    fn claimed(&self, run: &Run, resumed: bool) {
        if !run.options.same_request(self.wanted) && run.catches_up.is_none() {
            note(
                "An import with other settings is unfinished. It is finished first; what you \
                 request now is fetched after it.",
            );
        }
        if run.catches_up.is_some() {
            note("The history of this shop is imported: fetching what has changed since.");
        }
        if resumed {
            note(format!(
                "Resuming run {} from its checkpoint ({} pages, {} orders).",
                run.id,
                display::count(run.progress.pages),
                display::count(run.progress.orders)
            ));
        }
    }

    fn planned(&self, plan: &Plan) {
        display::plan::print_to_stderr(plan);
    }

    fn goes_on(&self, run: &Run, certificate: &Certificate) {
        note(format!(
            "Run {} is complete: orders from {} to {}. Continuing with the rest of what you \
             requested.",
            run.id, certificate.range.from, certificate.range.to
        ));
    }
}

/// Ctrl-C and SIGTERM stop the import; a second Ctrl-C ends the process.
pub fn stop_on_signal() -> StopSignal {
    let (handle, signal) = stop_pair();
    tokio::spawn(async move {
        tokio::select! {
            () = wiring::termination() => {}
            () = secrets::outdated() => {}
        }
        inform("Stopping; what was read is saved …");
        handle.stop();
        wiring::termination().await;
        std::process::exit(130);
    });
    signal
}

/// Prints how the import ended.
pub fn report(job: &ImportJob, outcome: ImportOutcome) -> Exit {
    match outcome {
        ImportOutcome::Completed(certificate) => {
            print_certificate(job, &certificate);
            Exit::Done
        }
        ImportOutcome::Halted(run) => {
            print_missing(
                job,
                "halted",
                &format!("the import of this shop is {}", run.state),
            );
            note(format!(
                "The import of this shop is {} (run {id}). Continue it with `salla-sync runs {} \
                 {id}`.",
                run.state,
                match run.state {
                    RunState::Paused => "resume",
                    _ => "restart",
                },
                id = run.id,
            ));
            Exit::Taken
        }
        ImportOutcome::Taken(holder) => {
            print_missing(
                job,
                "taken",
                &format!("{} is importing this shop", holder.owner),
            );
            note(format!(
                "Another process ({}) is importing this shop; its lease lasts until {}. See \
                 `salla-sync status`.",
                holder.owner, holder.until
            ));
            Exit::Taken
        }
        ImportOutcome::Interrupted(failure) => {
            print_missing(job, failure.code(), &failure.to_string());
            failed(&failure)
        }
        ImportOutcome::Failed {
            failure,
            certificate,
        } => {
            match certificate {
                Some(certificate) => print_certificate(job, &certificate),
                None => print_missing(job, failure.code(), &failure.to_string()),
            }
            display::failure(&failure);
            Exit::Failed
        }
    }
}

/// Why there is no certificate, for programs.
fn print_missing(job: &ImportJob, code: &str, message: &str) {
    if job.json {
        display::json(&json!({ "complete": false, "code": code, "message": message }));
    }
}

fn print_certificate(job: &ImportJob, certificate: &Certificate) {
    if job.json {
        display::json(certificate);
    } else {
        display::certificate::print(certificate);
    }
}

/// The same as the end of a command.
pub fn reported(failure: Failure) -> anyhow::Error {
    Reported(failed(&failure)).into()
}

/// A failure that leaves the run as it is, or of a command that only reads: whether the same
/// command may succeed later without a change.
pub fn failed(failure: &Failure) -> Exit {
    display::failure(failure);
    if failure.may_pass() {
        Exit::Interrupted
    } else {
        Exit::Failed
    }
}
