//! JSON that is printed, and the fields of log lines.

use importer::ports::inspection::ShopRows;
use importer::trace::RecordStatus;
use importer::verify::{CountDifference, OrderComparison, OrderOutcome};
use jiff::Timestamp;
use salla_simulator::{AppAge, InvalidRates, Quirks};
use serde_json::{Value, json};

use super::shape::Shape;
use crate::process::{present_day, program, run};
use crate::truth::small;

#[test]
fn what_is_found_keeps_its_words() {
    let order = |outcome| OrderComparison { id: 7, outcome };
    insta::assert_json_snapshot!(json!({
        "trace": [
            RecordStatus::Loaded,
            RecordStatus::LoadedInPart,
            RecordStatus::KnownFromOrders,
            RecordStatus::Rejected,
            RecordStatus::Gone { at: Timestamp::UNIX_EPOCH },
            RecordStatus::Missing,
        ],
        "windows": [
            CountDifference::Fits,
            CountDifference::ArrivedSince(1),
            CountDifference::DeletedSince(2),
            CountDifference::Lost(3),
            CountDifference::Altered(4),
            CountDifference::Lacking(5),
            CountDifference::CutShort,
        ],
        "orders": [
            order(OrderOutcome::Same),
            order(OrderOutcome::ChangedSince(vec!["total"])),
            order(OrderOutcome::Differs(vec!["status"])),
            order(OrderOutcome::GoneSince),
            order(OrderOutcome::NotUnderstood("invalid_amount")),
        ],
        "rows": ShopRows::default(),
    }));
}

/// A shop with something of everything that commands print.
#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_every_command_and_the_fields_of_an_import_stay() {
    let mut scenario = small(150);
    scenario.app_age = AppAge::FullDetails;
    scenario.quirks = Quirks::default();
    scenario.invalid = InvalidRates {
        orders: 0.05,
        customers: 0.05,
        products: 0.05,
    };
    let service = present_day(scenario).await;
    let log = "info,importer=debug,salla.request=debug";
    let import = ["--log", log, "--log-format", "json", "import", "--json"];
    let import = [&import[..], &["--rejection-share", "50%"]].concat();
    let output = run(program(&service, &import)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut printed = Shape::default();
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    printed.add("import", &json);

    let mut lines = Shape::default();
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let mut line: Value = serde_json::from_str(line).expect("it is JSON");
        let message = line.as_object_mut().and_then(|line| line.remove("message"));
        let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
        // These come with every import; others depend on how fast the machine is.
        if MESSAGES.contains(&message) {
            lines.add(&format!("{message:?}"), &line);
        }
    }
    insta::assert_snapshot!("fields_of_log_lines", lines);

    let order_id = service
        .simulator
        .shop()
        .truth_orders(jiff::civil::Date::MIN, jiff::civil::Date::MAX)
        .last();
    let order_id = order_id.expect("there are orders").id.to_string();
    for command in [
        &["plan"][..],
        &["status"],
        &["rejected"],
        &["rejected", "replay"],
        &["remap"],
        &["trace", &order_id],
        &["verify", "--deep"],
        &["probe"],
        &["doctor"],
        &["runs", "list"],
        &["notifications", "list"],
        &["queue", "depth"],
        &["connections", "list"],
        &["keys", "status"],
        &["tokens", "list"],
        &["sessions", "list"],
        &["audit", "list"],
        &["cdc", "status"],
    ] {
        let output = run(program(&service, &[command, &["--json"]].concat())).await;
        let name = command.join(" ").replace(&order_id, "ID");
        let text = String::from_utf8_lossy(&output.stdout);
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!(
                "{name}: {error}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        printed.add(&name, &json);
    }
    let ledger = serde_json::to_value(service.simulator.ledger()).expect("it can be written");
    printed.add("ledger", &ledger);
    let (from, to) = (jiff::civil::Date::MIN, jiff::civil::Date::MAX);
    let truth = serde_json::to_value(service.simulator.truth(from, to)).expect("it can be written");
    printed.add("truth", &truth);
    insta::assert_snapshot!("json_of_commands", printed);
}

const MESSAGES: [&str; 5] = [
    "pages landed",
    "details landed",
    "window walked",
    "answered",
    "a record is rejected",
];
