//! Alerts, dashboard and documentation speak of metrics that the program has, and of no
//! others: a renamed metric would silence an alert without a word.

use std::collections::BTreeSet;

use importer::metrics::{self, MetricKind};
use serde_json::Value;

fn read(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    std::fs::read_to_string(format!("{root}{path}"))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// As Prometheus shows them: a histogram is three series.
fn shown() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for metric in metrics::ALL {
        match metric.kind {
            MetricKind::Counter | MetricKind::Gauge => names.extend([metric.name.to_owned()]),
            MetricKind::Histogram => {
                let series = ["bucket", "sum", "count"];
                names.extend(series.map(|series| format!("{}_{series}", metric.name)));
            }
        }
    }
    names
}

fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("salla_sync_"))
        .map(str::to_owned)
        .collect()
}

fn assert_declared(expressions: &[String]) {
    let shown = shown();
    for expression in expressions {
        let named = named(expression);
        assert!(!named.is_empty(), "{expression} looks at nothing of ours");
        let unknown: Vec<_> = named.difference(&shown).collect();
        assert!(unknown.is_empty(), "{expression}: unknown {unknown:?}");
        assert_labels_exist(expression);
    }
}

/// `{label=` and `by (label, …)` name labels that some metric of the expression has.
fn assert_labels_exist(expression: &str) {
    let named = named(expression);
    let known: BTreeSet<&str> = metrics::ALL
        .iter()
        .filter(|metric| named.iter().any(|name| name.starts_with(metric.name)))
        .flat_map(|metric| metric.labels)
        .copied()
        .chain(["le"])
        .collect();
    let groups = expression.split("by (").skip(1);
    let grouped = groups.flat_map(|rest| rest.split(')').next().unwrap_or("").split(','));
    let selectors = expression.split('{').skip(1);
    let selected = selectors.flat_map(|rest| rest.split('}').next().unwrap_or("").split(','));
    let selected = selected.map(|one| one.split(['=', '!']).next().unwrap_or(""));
    for label in grouped.chain(selected) {
        assert!(known.contains(label.trim()), "{expression}: {label:?}");
    }
}

#[test]
fn every_alert_looks_at_a_metric_that_exists_and_says_what_to_do() {
    let text = read("deploy/prometheus/alerts.yml");
    let file: Value = serde_saphyr::from_str(&text).expect("the alerts are YAML");
    let rules: Vec<&Value> = file["groups"]
        .as_array()
        .expect("there are groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("a group has rules"))
        .collect();
    assert!(rules.len() >= 10);
    let runbook = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runbook.md");
    let anchors = std::fs::read_to_string(runbook).ok().map(|t| anchors(&t));
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for rule in &rules {
        let name = text_of(&rule["alert"]);
        assert_declared(&[text_of(&rule["expr"])]);
        assert!(
            ["critical", "warning"].contains(&text_of(&rule["labels"]["severity"]).as_str()),
            "{name}"
        );
        for part in ["summary", "description"] {
            assert!(!text_of(&rule["annotations"][part]).is_empty(), "{name}");
        }
        let link = text_of(&rule["annotations"]["runbook_url"]);
        let anchor = link.strip_prefix("docs/runbook.md#").unwrap_or_default();
        assert!(!anchor.is_empty(), "{name} does not link to the runbook");
        if let Some(anchors) = &anchors {
            assert!(anchors.contains(anchor), "the runbook has no #{anchor}");
        }
    }
}

/// As the usual renderers make them of headings.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_panel_shows_a_metric_that_exists() {
    let text = read("deploy/grafana/dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a panel has a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}");
        assert!(
            !panel["description"].as_str().unwrap_or("").is_empty(),
            "{title}"
        );
        let targets = panel["targets"].as_array().expect("a panel asks something");
        let expressions: Vec<String> = targets
            .iter()
            .map(|target| target["expr"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_declared(&expressions);
        let width = panel["gridPos"]["x"]
            .as_u64()
            .zip(panel["gridPos"]["w"].as_u64());
        assert!(width.is_some_and(|(x, w)| x + w <= 24), "{title}");
    }
    assert!(dashboard["uid"].is_string() && dashboard["schemaVersion"].is_u64());
}

#[test]
fn the_documentation_lists_every_metric_with_its_labels() {
    let text = read("docs/observability.md");
    for metric in metrics::ALL {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` ", metric.name)))
            .unwrap_or_else(|| panic!("{} is not in docs/observability.md", metric.name));
        let labels = row.split('|').nth(2).unwrap_or_default();
        let documented: Vec<&str> = labels.split('`').skip(1).step_by(2).collect();
        assert_eq!(documented, metric.labels, "{}", metric.name);
    }
    let declared: BTreeSet<&str> = metrics::ALL.iter().map(|metric| metric.name).collect();
    let shown = shown();
    for name in named(&text) {
        assert!(
            declared.contains(name.as_str()) || shown.contains(&name),
            "{name}"
        );
    }
}
