//! `salla-sync probe`, as typed, against shops that behave differently.

use salla_simulator::{AppAge, DateFilter, FilterZone, ItemProduct, Scenario};
use serde_json::Value;

use crate::process::{present_day, program, run};
use crate::reprocess::json;
use crate::service::TestService;
use crate::truth::small;

fn answer<'a>(report: &'a Value, question: &str) -> &'a str {
    let findings = report["findings"].as_array().expect("there are findings");
    let found = findings.iter().find(|f| f["question"] == question);
    let found = found.unwrap_or_else(|| panic!("{question}: {report:#}"));
    found["answer"].as_str().expect("answers are texts")
}

async fn probed(scenario: Scenario) -> (TestService, Value) {
    let service = present_day(scenario).await;
    let (report, code) = json(&service, &["probe", "--json"]).await;
    assert_eq!(code, 0, "{report:#}");
    let requests = service.simulator.ledger().requests;
    assert!(requests <= 25, "{requests} requests");
    (service, report)
}

const EXPANDED: &str = "Is expanded=true honoured (lists give whole orders)?";
const DETAIL: &str = "Does the detail of an order include its line items?";
const PRODUCT: &str = "Do line items carry a product id?";
const SIZE: &str = "How many orders does a page give?";
const FROM: &str = "Does from_date include the day it names?";
const TO: &str = "Does to_date include the day it names?";
const ZONE: &str = "Are the days of the filter Riyadh's or UTC's?";
const USER: &str = "Is user info wrapped in data?";

#[tokio::test(flavor = "multi_thread")]
async fn each_shop_s_behaviour_is_found_out() {
    let (_old, report) = probed(Scenario {
        orders_page_cap: 30,
        ..small(2_000)
    })
    .await;
    let table = [
        (EXPANDED, "yes"),
        (DETAIL, "yes"),
        (PRODUCT, "yes"),
        (SIZE, "30"),
        (FROM, "yes"),
        (TO, "yes"),
        (ZONE, "Riyadh's"),
        (USER, "yes"),
        ("What comes past the last page?", "an empty page"),
        (
            "In which order are orders listed by default?",
            "newest first",
        ),
        ("Is sort_by=created_at-asc honoured?", "yes"),
        ("Is there a filter updated_at_min?", "no"),
        ("Does reference_id find one order?", "yes"),
        ("Can all rows of the order list be read?", "yes"),
        ("Can the line items be read?", "yes"),
        (
            "Do date_from and date_to filter customers?",
            "yes, date_from is the lower bound",
        ),
    ];
    for (question, expected) in table {
        assert_eq!(
            answer(&report, question),
            expected,
            "{question}: {report:#}"
        );
    }

    let mut scenario = Scenario {
        app_age: AppAge::LightDetails,
        item_product: ItemProduct::Absent,
        date_filter: DateFilter {
            from_inclusive: false,
            to_inclusive: false,
            zone: FilterZone::Riyadh,
        },
        ..small(2_000)
    };
    scenario.oauth.user_info_in_data = false;
    let (_young, report) = probed(scenario).await;
    let table = [
        (EXPANDED, "no"),
        (DETAIL, "no"),
        (PRODUCT, "no"),
        (SIZE, "60"),
        (FROM, "no"),
        (TO, "no"),
        (USER, "no"),
    ];
    for (question, expected) in table {
        assert_eq!(
            answer(&report, question),
            expected,
            "{question}: {report:#}"
        );
    }

    let (_utc, report) = probed(Scenario {
        date_filter: DateFilter {
            zone: FilterZone::Utc,
            ..DateFilter::default()
        },
        ..small(2_000)
    })
    .await;
    for (question, expected) in [(FROM, "yes"), (TO, "yes"), (ZONE, "UTC's")] {
        assert_eq!(
            answer(&report, question),
            expected,
            "{question}: {report:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_can_be_passed_on() {
    let service = present_day(small(300)).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("report.txt");
    let path = file.to_str().expect("its name is text");
    let mut command = program(&service, &["probe", "--out", path]);
    command.env_remove("DATABASE_URL");
    let output = run(command).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(
        errors.contains("at most"),
        "the cost is said before: {errors}"
    );
    let report = std::fs::read_to_string(&file).expect("the report is written");
    assert!(report.contains(EXPANDED), "{report}");

    let far = "9000-01-01".parse().expect("a day");
    let truth = service.simulator.shop();
    let mut secrets: Vec<String> = vec![
        service.simulator.access_token().to_owned(),
        service.simulator.refresh_token().to_owned(),
        service.simulator.scenario().shop.name.clone(),
        service.simulator.merchant_id().to_string(),
    ];
    for order in truth.truth_orders(jiff::civil::Date::MIN, far) {
        secrets.extend([order.id, order.reference_id].map(|id| id.to_string()));
        secrets.extend(order.items.iter().map(|item| item.name.clone()));
    }
    for customer in truth.truth_customers() {
        secrets.extend([customer.first_name, customer.last_name, customer.city].map(str::to_owned));
        secrets.extend([
            customer.email.clone(),
            customer.mobile.to_string(),
            customer.id.to_string(),
        ]);
    }
    secrets.extend(
        truth
            .truth_products()
            .flat_map(|p| [p.name.clone(), p.id.to_string()]),
    );
    // A short number is found in any report, and the name of the city in a question.
    secrets.retain(|secret| secret != "Riyadh");
    secrets.retain(|secret| secret.chars().count() >= 5 || !secret.is_ascii());
    assert!(secrets.len() > 1_000, "{}", secrets.len());
    for secret in secrets {
        assert!(!report.contains(&secret), "{secret}: {report}");
        assert!(!errors.contains(&secret), "{secret}: {errors}");
    }
}
