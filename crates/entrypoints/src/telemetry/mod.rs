//! Log lines on standard error, as text or one JSON object a line. Standard output
//! belongs to results.

mod flat_json;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;
use crate::display::progress_bar;
use crate::exit::UsageError;
use flat_json::FlatJson;

/// Crates whose spans say what a line is about.
const OURS: [&str; 5] = [
    "importer",
    "salla_client",
    "database",
    "notifiers",
    "entrypoints",
];

/// Installs the process's one subscriber.
pub fn install(filter: &str, format: LogFormat) -> Result<(), UsageError> {
    // Log lines must not tear the progress bar apart.
    let writer = BoxMakeWriter::new(progress_bar::LogWriter);
    let lines = lines(filter, format, writer)?;
    tracing_subscriber::registry().with(lines).init();
    Ok(())
}

/// The layer that writes what passes `filter`.
fn lines<S>(
    filter: &str,
    format: LogFormat,
    writer: BoxMakeWriter,
) -> Result<impl Layer<S>, UsageError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        UsageError(vec![format!(
            "--log (or SALLA_SYNC_LOG) is no filter: {error}; try `info`"
        )])
    })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Text => layer.with_target(false).compact().boxed(),
        LogFormat::Json => layer
            .event_format(FlatJson)
            .fmt_fields(JsonFields::new())
            .boxed(),
    };
    // A filter chooses lines. A warning must tell of which run it speaks, although spans
    // are of a level that is not logged.
    let spans = filter_fn(is_span_of_ours).with_max_level_hint(LevelFilter::INFO);
    Ok(layer.with_filter(filter.or(spans)))
}

fn is_span_of_ours(metadata: &Metadata<'_>) -> bool {
    let module = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && *metadata.level() <= Level::INFO && OURS.contains(&module)
}

#[cfg(test)]
mod tests;
