//! Bytes and digits that no strict reader takes: what they cost an import, and what they
//! do not.

use domain::failure::Failure;
use domain::resource::Resource;
use importer::import::ImportOutcome;
use salla_simulator::{AppAge, Endpoint, FaultRates, FloatDigits, Scenario, TextDamage};

use crate::service::{TestService, completed};
use crate::truth::small;

/// Every page, every detail and even the shop itself has a damaged text.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_text_on_every_page_costs_no_record() {
    let kinds = [
        (TextDamage::StrayByte, AppAge::Expanded),
        (TextDamage::Latin1, AppAge::LightDetails),
        (TextDamage::RawControl, AppAge::FullDetails),
        (TextDamage::RawNul, AppAge::Expanded),
        (TextDamage::UnknownEscape, AppAge::LightDetails),
    ];
    for (damage, app_age) in kinds {
        let mut scenario = Scenario {
            app_age,
            ..small(150)
        };
        scenario.quirks.damaged_texts = Some(damage);
        let service = TestService::start(scenario).await;
        let (_, outcome) = service.import().await;
        let certificate = completed(outcome);
        assert!(certificate.balances(), "{damage:?}");
        assert_eq!(
            certificate.summary(Resource::Customers).loaded,
            30,
            "{damage:?}"
        );
        assert_eq!(
            certificate.summary(Resource::Products).loaded,
            40,
            "{damage:?}"
        );
        for resource in Resource::ALL {
            let summary = certificate.summary(resource);
            assert_eq!(summary.rejected, 0, "{damage:?} {resource}");
        }
        let orders = certificate.summary(Resource::Orders);
        assert!(orders.loaded > 100, "{damage:?}: {orders:?}");
        assert_eq!(orders.details_needed, orders.details_loaded, "{damage:?}");
    }
}

/// One line in Salla's settings of PHP changes no amount.
#[tokio::test(flavor = "multi_thread")]
async fn long_floats_are_the_amounts_that_were_meant() {
    for float_digits in [FloatDigits::Seventeen, FloatDigits::All] {
        for app_age in [AppAge::Expanded, AppAge::LightDetails] {
            let mut scenario = Scenario {
                app_age,
                ..small(200)
            };
            scenario.quirks.float_digits = float_digits;
            scenario.quirks.string_numbers = 0.2;
            scenario.quirks.arabic_digits = 0.2;
            let service = TestService::start(scenario).await;
            let certificate = service.import_and_compare().await;
            assert_eq!(
                certificate.summary(Resource::Orders).rejected,
                0,
                "{float_digits:?}"
            );
        }
    }
}

/// No one acts on a transient failure; this one does not pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_never_json_names_itself_and_the_rest_is_kept() {
    let mut scenario = small(100);
    scenario.clock.scale = 400.0;
    let html = FaultRates {
        html: 1.0,
        ..FaultRates::default()
    };
    scenario.endpoint_faults.insert(Endpoint::Customers, html);
    let service = TestService::start(scenario).await;
    let (merchant, outcome) = service.import().await;
    let ImportOutcome::Failed { failure, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    let Failure::NotJson { message: what } = failure else {
        panic!("{failure:?}");
    };
    let begin = "listing customers, page 1: the response (status 200, text/html) is not JSON";
    assert!(what.starts_with(begin), "{what}");
    service
        .simulator
        .set(|scenario| scenario.endpoint_faults.clear());
    let (_, outcome) = service.import().await;
    service.compare(merchant, &completed(outcome)).await;
}
