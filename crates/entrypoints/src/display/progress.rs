//! Progress: bars on a terminal, one plain line now and then where output is piped.

use std::io::{IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use importer::import::progress::Progress;
use importer::ports::clock::Clock;
use importer::ports::runs::{LeaseHolder, ShopSummary};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::{count, duration, note};
use crate::exit::Exit;

/// Log lines pass the bar through this; it draws on standard error.
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// Seconds between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress until the sender is gone. `clock` is the reader's, by which plain
/// lines are paced.
pub async fn show(mut progress: watch::Receiver<Progress>, clock: &dyn Clock) {
    if std::io::stderr().is_terminal() {
        show_bar(&mut progress).await;
    } else {
        show_lines(&mut progress, clock).await;
    }
}

async fn show_bar(progress: &mut watch::Receiver<Progress>) {
    let bar = BARS.add(ProgressBar::new(100));
    let style = ProgressStyle::with_template("{bar:32.green} {pos:>3} %  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        bar.set_position(u64::from(now.percent()));
        bar.set_message(sentence(&now));
    }
    bar.finish_and_clear();
    BARS.remove(&bar);
}

async fn show_lines(progress: &mut watch::Receiver<Progress>, clock: &dyn Clock) {
    let mut next = clock.monotonic() + LINE_EVERY;
    while progress.changed().await.is_ok() {
        if clock.monotonic() < next {
            continue;
        }
        next = clock.monotonic() + LINE_EVERY;
        let now = progress.borrow_and_update().clone();
        let text = format!("{:>3} %  {}\n", now.percent(), sentence(&now));
        if std::io::stderr().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn sentence(progress: &Progress) -> String {
    if let Some(left) = progress.lease_left {
        return format!(
            "waiting for another process's lease: {} at most",
            duration(left)
        );
    }
    let mut text = format!(
        "{}: {} orders",
        progress.phase.as_str(),
        count(progress.orders)
    );
    if progress.order_details > 0 {
        text += &format!(" ({} completed)", count(progress.order_details));
    }
    text += &format!(
        ", {} customers, {} products",
        count(progress.customers),
        count(progress.products)
    );
    if progress.rejected > 0 {
        text += &format!(", {} rejected", count(progress.rejected));
    }
    if let Some(since) = progress.lists_complete_since {
        text += &format!("; totals complete since {since}");
    }
    if !progress.cooldown.is_zero() {
        text += &format!("; Salla requires a wait of {}", duration(progress.cooldown));
    } else if let Some(eta) = progress.eta {
        text += &format!("; about {} left", duration(eta));
    }
    text
}

/// Writes log lines above the bar. A line is written as a whole, so the bar is
/// hidden and drawn again once a line and not once a fragment.
#[derive(Clone, Copy, Debug)]
pub struct LogWriter;

static LINE: Mutex<()> = Mutex::new(());

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let _one_at_a_time = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        // A line that cannot be written, as on a full disk, is no reason to end, and there is
        // no other place where this could be reported.
        drop(BARS.suspend(|| std::io::stderr().write_all(text)));
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self::Writer {
        *self
    }
}

/// A line on standard error for each further tenth of long work.
pub struct Tenths {
    what: String,
    tenths: AtomicU64,
}

/// A shorter wait ends before a user wonders.
const WORTH_SHOWING: u64 = 2_000;

impl Tenths {
    pub fn of(what: &str, shop: &ShopSummary) -> Self {
        Self {
            what: format!("{what} of {}", shop.name),
            tenths: AtomicU64::new(0),
        }
    }

    pub fn show(&self, done: u64, of: u64) {
        let tenths = done * 10 / of.max(1);
        let before = self.tenths.fetch_max(tenths, Ordering::Relaxed);
        if of >= WORTH_SHOWING && tenths > before {
            note(format!("{} of {} {}", count(done), count(of), self.what));
        }
    }
}

/// Says which shops an import holds, and how the program should end.
pub fn held<'a>(shops: impl Iterator<Item = (&'a ShopSummary, &'a Option<LeaseHolder>)>) -> Exit {
    let mut exit = Exit::Done;
    for (shop, holder) in shops {
        if let Some(holder) = holder {
            note(format!(
                "{}: {} is importing this shop, its lease lasts until {}; what is not counted \
                 above was left unchanged. Run the same command again when the import has ended \
                 (see `salla-sync status`).",
                shop.name, holder.owner, holder.until
            ));
            exit = Exit::Taken;
        }
    }
    exit
}
