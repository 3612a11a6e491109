use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(filter: &str, format: LogFormat, log: impl FnOnce()) -> String {
    let in_colour = false;
    logged_as(filter, Look { format, in_colour }, log)
}

fn logged_as(filter: &str, look: Look, log: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let writer = BoxMakeWriter::new(move || writer.clone());
    let lines = lines(filter, look, writer).unwrap();
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(subscriber, log);
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn one(line: &str) -> Value {
    assert_eq!(line.lines().count(), 1, "{line}");
    serde_json::from_str(line).unwrap()
}

#[test]
fn fields_of_all_spans_lie_beside_those_of_the_event() {
    let line = logged("info", LogFormat::Json, || {
        let _run = tracing::info_span!("run", run_id = %7, attempt = 1).entered();
        let window =
            tracing::info_span!("window", resource = "orders", page = tracing::field::Empty);
        window.record("page", 3);
        let _window = window.entered();
        let _request = tracing::info_span!("request", attempt = 2).entered();
        tracing::warn!(duration_ms = 12_u64, text = "two\nlines", "said {}", "so");
    });
    let line = one(&line);
    let expected = [
        ("run_id", Value::from("7")),
        ("resource", Value::from("orders")),
        ("page", Value::from(3)),
        ("attempt", Value::from(2)),
        ("duration_ms", Value::from(12)),
        ("text", Value::from("two\nlines")),
        ("level", Value::from("WARN")),
        ("target", Value::from(module_path!())),
        ("message", Value::from("said so")),
    ];
    for (name, value) in &expected {
        assert_eq!(&line[*name], value, "{name}");
    }
    assert_eq!(line.as_object().unwrap().len(), expected.len() + 1);
    let timestamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(timestamp.as_second() > 0);
}

/// An object with the same name twice is read differently by everyone.
#[test]
fn no_name_comes_twice() {
    let line = logged("info", LogFormat::Json, || {
        let _span = tracing::info_span!("run", run_id = 1, level = "high", message = "x").entered();
        tracing::info!(run_id = 2, target = "elsewhere", "hello");
    });
    for name in ["run_id", "level", "target", "message", "timestamp"] {
        assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{line}");
    }
    let line = one(&line);
    assert_eq!(
        (&line["run_id"], &line["message"]),
        (&2.into(), &"hello".into())
    );
    assert_eq!(line["level"], "INFO");
}

/// The filter chooses lines; a line that is chosen says where it belongs.
#[test]
fn a_warning_names_its_run_although_spans_are_not_logged() {
    for format in [LogFormat::Json, LogFormat::Text] {
        for filter in ["warn", "entrypoints=warn", "entrypoints=error,[run]=warn"] {
            let line = logged(filter, format, || {
                let _run = tracing::info_span!("run", run_id = 7).entered();
                let _inner = tracing::debug_span!("inner", detail = 8).entered();
                tracing::info!("not this");
                tracing::warn!("this");
            });
            assert_eq!(line.lines().count(), 1, "{filter}: {line}");
            assert!(line.contains("run_id") && line.contains("this"), "{line}");
            assert!(!line.contains("detail"), "{line}");
        }
    }
}

#[test]
fn spans_of_others_cost_nothing_unless_they_are_wanted() {
    logged("warn", LogFormat::Json, || {
        let span = tracing::info_span!(target: "hyper::client", "theirs");
        assert!(span.is_disabled());
    });
}

#[test]
fn a_wrong_filter_is_a_matter_of_usage() {
    let writer = BoxMakeWriter::new(std::io::sink);
    let look = Look {
        format: LogFormat::Text,
        in_colour: false,
    };
    let result = lines::<tracing_subscriber::Registry>("a=b=c", look, writer);
    assert!(result.err().unwrap().to_string().contains("--log"));
}

#[test]
fn text_from_outside_stays_on_its_line_and_controls_nothing() {
    let evil = "bad\n2026-01-01T00:00:00Z  WARN all good\u{1b}[2J\u{202e}";
    let line = logged("info", LogFormat::Text, || {
        let _run = tracing::info_span!("run", shop = %evil).entered();
        tracing::warn!(error = %evil, name = evil, debug = ?evil, "said {evil}");
    });
    assert_eq!(line.lines().count(), 1, "{line}");
    let text = line.trim_end_matches('\n');
    assert_eq!(crate::display::printable(text), text);
    assert_eq!(line.matches("all good").count(), 5, "{line}");
}

#[test]
fn colours_are_for_people_at_a_terminal() {
    let line = |in_colour| {
        let format = LogFormat::Text;
        logged_as("info", Look { format, in_colour }, || tracing::warn!("hm"))
    };
    assert!(line(true).contains("\u{1b}["));
    assert!(!line(false).contains('\u{1b}'));
    let wants = |name: &'static str, value: &'static str| {
        wants_colour(&move |asked: &str| (asked == name).then(|| value.into()))
    };
    assert!(wants("TERM", "xterm-256color") && wants("CLICOLOR", "0"));
    assert!(!wants("NO_COLOR", "1") && !wants("TERM", "dumb"));
}
