//! Lists of products and customers that are longer than Salla shows of them: a COMPLETED
//! has every row, and a FAILED names what could not be proven.

use domain::certificate::{Certificate, WindowCounts};
use domain::failure::Failure;
use domain::resource::Resource;
use domain::slice::{ProductStatus, Slice};
use importer::import::ImportOutcome;
use importer::stop::stop_pair;
use salla_simulator::{
    Ceiling, CeilingBehavior, CustomerDates, DateFilter, Endpoint, FilterZone, ListBehavior,
    ProductFilters, Scenario,
};

use crate::service::{TestService, completed};
use crate::truth::small;

/// Three times the ceiling.
const MANY: u64 = 30_000;
/// A little above it, where that is enough.
const SOME: u64 = 11_000;
/// Below it, but on a page of sixty that reaches across it.
const NEARLY: u64 = 9_975;

fn below(how: CeilingBehavior) -> ListBehavior {
    ListBehavior {
        ceiling: Some(Ceiling {
            how,
            ..Ceiling::default()
        }),
        ..ListBehavior::default()
    }
}

/// In the larger shop products on sale alone are above the ceiling.
fn many_products(products: u64, how: CeilingBehavior) -> Scenario {
    let mut scenario = small(100);
    scenario.shop.products = products;
    scenario.lists.products = below(how);
    scenario
}

fn many_customers(dates: CustomerDates, how: CeilingBehavior) -> Scenario {
    let mut scenario = small(100);
    scenario.shop.customers = MANY;
    scenario.customer_dates = dates;
    scenario.lists.customers = below(how);
    // Their budget lasts for 500 requests in ten minutes.
    scenario.clock.scale = 20.0;
    scenario
}

fn failed(outcome: ImportOutcome) -> Certificate {
    match outcome {
        ImportOutcome::Failed {
            failure: Failure::Unbalanced { .. },
            certificate: Some(certificate),
        } => *certificate,
        other => panic!("{other:?}"),
    }
}

fn slices(certificate: &Certificate, resource: Resource) -> Vec<&WindowCounts> {
    let windows = certificate.windows.iter();
    windows
        .filter(|w| w.listing.resource == resource && w.listing.slice.is_some())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn products_above_the_ceiling_arrive_whole_by_status_and_category() {
    let service = TestService::start(many_products(MANY, CeilingBehavior::Empty)).await;
    let certificate = service.import_and_compare().await;
    let slices = slices(&certificate, Resource::Products);
    assert_eq!(slices.len(), 3 + 8, "eight categories of what is on sale");
    let requests = service.simulator.ledger().by_endpoint[&Endpoint::Products];
    // A product in two categories is read with both, and everything twice.
    assert!(requests < 2_000, "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn products_above_a_ceiling_of_any_kind_arrive_whole_by_status() {
    for how in [CeilingBehavior::Error, CeilingBehavior::RepeatLast] {
        let service = TestService::start(many_products(SOME, how)).await;
        let certificate = service.import_and_compare().await;
        assert_eq!(slices(&certificate, Resource::Products).len(), 3, "{how:?}");
    }
}

/// The page that reaches across the ceiling is not shown at all.
fn whole_pages(manners: &mut ListBehavior) {
    if let Some(ceiling) = &mut manners.ceiling {
        ceiling.whole_pages = true;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_across_the_ceiling_that_is_not_shown_hides_nothing() {
    for how in [
        CeilingBehavior::Empty,
        CeilingBehavior::Error,
        CeilingBehavior::RepeatLast,
    ] {
        let mut scenario = many_products(NEARLY, how);
        whole_pages(&mut scenario.lists.products);
        let service = TestService::start(scenario).await;
        let certificate = service.import_and_compare().await;
        assert_eq!(slices(&certificate, Resource::Products).len(), 3, "{how:?}");

        let mut scenario = many_customers(CustomerDates::AsNamed, how);
        scenario.shop.customers = NEARLY;
        whole_pages(&mut scenario.lists.customers);
        let service = TestService::start(scenario).await;
        let certificate = service.import_and_compare().await;
        assert!(
            slices(&certificate, Resource::Customers).len() >= 2,
            "{how:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_ends_just_below_the_ceiling_is_read_as_any_other() {
    let mut scenario = many_products(NEARLY, CeilingBehavior::Error);
    scenario.shop.customers = NEARLY;
    let service = TestService::start(scenario).await;
    let certificate = service.import_and_compare().await;
    for resource in [Resource::Products, Resource::Customers] {
        assert_eq!(slices(&certificate, resource).len(), 0, "{resource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_stopped_among_its_slices_goes_on() {
    let mut scenario = many_products(SOME, CeilingBehavior::Empty);
    scenario.latency.fixed_ms = 5;
    let service = TestService::start(scenario).await;
    let (handle, stop) = stop_pair();
    let stopping = async {
        service.simulator.until_requests(150).await;
        handle.stop();
    };
    let ((merchant, outcome), ()) = tokio::join!(service.import_until(stop), stopping);
    assert!(
        matches!(outcome, ImportOutcome::Interrupted(_)),
        "{outcome:?}"
    );
    let before = service.simulator.ledger().by_endpoint[&Endpoint::Products];
    assert!(before > 20, "{before} pages of products were read");
    let certificate = completed(service.import().await.1);
    service.compare(merchant, &certificate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn products_of_a_shop_that_goes_on_living_arrive_whole() {
    let mut scenario = many_products(SOME, CeilingBehavior::Empty);
    // A product that is edited behind the reader is as it was until the next import.
    scenario.drift.products = salla_simulator::ResourceDrift {
        arrive_every: 40,
        delete_every: 60,
        until_request: 300,
        ..Default::default()
    };
    let service = TestService::start(scenario).await;
    for _ in 0..5 {
        let (merchant, outcome) = service.import().await;
        if let ImportOutcome::Completed(certificate) = outcome {
            return service.compare(merchant, &certificate).await;
        }
        failed(outcome);
    }
    panic!("the shop is quiet and the import still does not balance");
}

#[tokio::test(flavor = "multi_thread")]
async fn products_in_no_category_are_said_to_be_missing() {
    let mut scenario = many_products(13_000, CeilingBehavior::Empty);
    scenario.shop.uncategorised_share = 0.3;
    let service = TestService::start(scenario).await;
    let certificate = failed(service.import().await.1);
    let named: Vec<_> = certificate.unbalanced().map(|w| &w.listing).collect();
    let sale = Some(Slice::Status(ProductStatus::Sale));
    assert_eq!(named.len(), 2);
    assert_eq!([named[0].slice, named[1].slice], [None, sale]);
    let held = certificate.summary(Resource::Products).loaded;
    assert_eq!(held + named[0].difference().cast_unsigned(), 13_000);
    assert!(named[0].difference() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_that_lies_or_filters_that_do_nothing_are_said_plainly() {
    let lie = many_products(SOME, CeilingBehavior::Lie);
    let ignored = Scenario {
        product_filters: ProductFilters::Ignored,
        ..many_products(SOME, CeilingBehavior::Empty)
    };
    let mut nearly = many_products(NEARLY, CeilingBehavior::Lie);
    whole_pages(&mut nearly.lists.products);
    for (scenario, loaded) in [(lie, SOME), (ignored, 10_000), (nearly, NEARLY)] {
        let service = TestService::start(scenario).await;
        let certificate = failed(service.import().await.1);
        let mut named = certificate.unbalanced().map(|w| w.listing.resource);
        assert!(named.all(|resource| resource == Resource::Products));
        assert_eq!(certificate.summary(Resource::Products).loaded, loaded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_above_the_ceiling_arrive_whole_by_days() {
    for (dates, how) in [
        (CustomerDates::AsNamed, CeilingBehavior::Empty),
        (CustomerDates::Swapped, CeilingBehavior::Error),
    ] {
        let service = TestService::start(Scenario {
            // The most that the ends of a filter can leave out.
            date_filter: DateFilter {
                from_inclusive: false,
                to_inclusive: false,
                zone: FilterZone::Utc,
            },
            ..many_customers(dates, how)
        })
        .await;
        let certificate = service.import_and_compare().await;
        assert!(slices(&certificate, Resource::Customers).len() >= 4);
        let requests = service.simulator.ledger().by_endpoint[&Endpoint::Customers];
        assert!(requests < 600, "{requests}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_whose_dates_do_nothing_are_said_not_to_be_provable() {
    let service = TestService::start(many_customers(
        CustomerDates::Ignored,
        CeilingBehavior::Empty,
    ))
    .await;
    let certificate = failed(service.import().await.1);
    let named: Vec<_> = certificate.unbalanced().map(|w| &w.listing).collect();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].resource, Resource::Customers);
    assert_eq!((named[0].reported, named[0].distinct), (MANY, 10_000));
}
