//! One flat JSON object a line: the fields of the event and of all spans around it,
//! concurrently.
//!
//! A few lines of our own, because existing crates write something else. tracing-subscriber's
//! format puts the fields of spans into separate objects; json-subscriber (0.3.1, well kept) merges
//! those of the spans, but adds those of the event as they are, so that a name that both have comes
//! twice in one object, and takes the span's own name for a field. What is read here is what
//! tracing-subscriber has stored with each span anyway.

use std::fmt;

use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Fields must be formatted by [`JsonFields`], which makes an object of them.
///
/// [`JsonFields`]: tracing_subscriber::fmt::format::JsonFields
pub(super) struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        // From the outermost inwards: what is said closer to the event holds.
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|s| s.from_root())
        {
            if let Some(formatted) = span.extensions().get::<FormattedFields<N>>() {
                fields.extend(parse(&formatted.fields));
            }
        }
        let mut own = String::new();
        context.format_fields(Writer::new(&mut own), event)?;
        fields.extend(parse(&own));

        let metadata = event.metadata();
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        // Events of the crate `log` bring their metadata along as fields.
        let target = match fields.remove("log.target") {
            Some(Value::String(target)) => target,
            _ => metadata.target().to_owned(),
        };
        let message = fields.remove("message");
        let head = [
            ("timestamp", Value::from(timestamp)),
            ("level", Value::from(metadata.level().as_str())),
            ("target", Value::from(target)),
            ("message", message.unwrap_or_else(|| Value::from(""))),
        ];
        fields.retain(|name, _| {
            !name.starts_with("log.") && head.iter().all(|(reserved, _)| name != reserved)
        });
        let line = serialized(&head, &fields).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

fn parse(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

fn serialized(head: &[(&str, Value)], fields: &Map<String, Value>) -> serde_json::Result<String> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut object = serializer.serialize_map(None)?;
    for (name, value) in head {
        object.serialize_entry(name, value)?;
    }
    for (name, value) in fields {
        object.serialize_entry(name, value)?;
    }
    object.end()?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}
