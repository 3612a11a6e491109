//! Log lines on standard error, as text or one JSON object a line. Standard output
//! belongs to results. With the feature `otel` also spans, to a collector.

mod flat_json;
#[cfg(feature = "otel")]
mod otel;

use std::ffi::OsString;
use std::io::IsTerminal as _;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt as _, FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;
use crate::config::{EnvLookup, environment};
#[cfg(not(feature = "otel"))]
use crate::config::{OTLP_ENDPOINT, OTLP_TRACES_ENDPOINT};
use crate::display::printable;
use crate::display::progress::LogWriter;
use crate::exit::UsageError;
use flat_json::FlatJson;

/// Crates whose spans say what a line is about.
const OUR_CRATES: [&str; 5] = [
    "importer",
    "salla_client",
    "database",
    "notifiers",
    "entrypoints",
];

#[cfg(feature = "otel")]
pub use otel::Traces;

/// What a build without OpenTelemetry has in their place.
#[cfg(not(feature = "otel"))]
#[derive(Debug)]
pub struct Traces;

#[cfg(not(feature = "otel"))]
impl Traces {
    /// Nothing was kept, so nothing is sent.
    pub fn flush(self) {}
}

/// Installs the process's one subscriber. Spans are sent until the traces are flushed.
pub fn install(filter: &str, format: LogFormat) -> anyhow::Result<Traces> {
    // Log lines must not tear the progress bar apart.
    let writer = BoxMakeWriter::new(LogWriter);
    let look = Look {
        format,
        in_colour: std::io::stderr().is_terminal() && wants_colour(&environment),
    };
    let lines = lines(filter, look, writer)?;
    let subscriber = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otel")]
    {
        let traces = Traces::open(&environment)?;
        subscriber.with(traces.layer()).init();
        Ok(traces)
    }
    #[cfg(not(feature = "otel"))]
    {
        subscriber.init();
        let endpoints = [OTLP_TRACES_ENDPOINT, OTLP_ENDPOINT];
        let set = endpoints
            .into_iter()
            .find(|name| environment(name).is_some());
        if let Some(name) = set {
            tracing::warn!(
                "{name} is set, but this build does not include OpenTelemetry and sends no traces; \
                 build it with --features otel"
            );
        }
        Ok(Traces)
    }
}

/// How lines look.
struct Look {
    format: LogFormat,
    in_colour: bool,
}

/// Whether a person at a terminal has not asked for plain text (<https://no-color.org>).
fn wants_colour(lookup: EnvLookup<'_>) -> bool {
    lookup("NO_COLOR").is_none() && lookup("TERM") != Some(OsString::from("dumb"))
}

/// The layer that writes what passes `filter`.
fn lines<S>(filter: &str, look: Look, writer: BoxMakeWriter) -> Result<impl Layer<S>, UsageError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        UsageError(vec![format!(
            "--log (or SALLA_SYNC_LOG) is no filter: {error}; try `info`"
        )])
    })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match look.format {
        LogFormat::Text => layer
            .with_ansi(look.in_colour)
            .with_target(false)
            .compact()
            .fmt_fields(PrintableFields)
            .boxed(),
        LogFormat::Json => layer
            .event_format(FlatJson)
            .fmt_fields(JsonFields::new())
            .boxed(),
    };
    // A filter chooses lines. A warning must name its run, although spans
    // are of a level that is not logged.
    Ok(layer.with_filter(filter.or(spans_of_ours())))
}

fn spans_of_ours() -> FilterFn {
    filter_fn(is_span_of_ours as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

fn is_span_of_ours(metadata: &Metadata<'_>) -> bool {
    let module = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && *metadata.level() <= Level::INFO && OUR_CRATES.contains(&module)
}

/// Fields of text lines. Some contain others' text, such as a server's error, which must not look
/// like another line or control the terminal.
struct PrintableFields;

impl<'writer> FormatFields<'writer> for PrintableFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> std::fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&printable(&text))
    }
}

#[cfg(test)]
mod tests;
