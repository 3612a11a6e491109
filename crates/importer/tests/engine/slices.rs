//! Lists of products and customers that are longer than Salla shows of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::certificate::{Certificate, Proof, WindowCounts};
use domain::failure::Failure;
use domain::resource::Resource;
use domain::slice::{ProductStatus, Slice};
use importer::import::ImportOutcome;
use jiff::ToSpan as _;

use crate::catalogue::{CEILING, Catalogue, Ceiling, Filters, ListedCustomer, ListedProduct};
use crate::memory_store::MemoryStore;
use crate::scenarios::{completed, run, today};
use crate::scripted_platform::{OrderShape, ScriptedPlatform};

const MANY: usize = 3 * CEILING;

/// Four in five are on sale, which is above the ceiling. Of the categories each product
/// has one or two.
fn products(count: usize) -> Vec<ListedProduct> {
    let product = |n: i64| ListedProduct {
        // Ids do not follow time.
        id: (n * 7_919) % 1_000_003 + 1,
        status: match n % 10 {
            0..8 => ProductStatus::Sale,
            8 => ProductStatus::Out,
            _ => ProductStatus::Hidden,
        },
        categories: match n % 3 {
            0 => vec![n % 11 + 1, n % 7 + 1],
            _ => vec![n % 11 + 1],
        },
    };
    (0..count as i64).map(product).collect()
}

/// 41 sign up every day.
fn customers(count: usize) -> Vec<ListedCustomer> {
    let customer = |n: i64| ListedCustomer {
        id: (n * 7_919) % 1_000_003 + 1,
        day: today().saturating_sub((n / 41).days()),
    };
    (0..count as i64).map(customer).collect()
}

fn with_products(ceiling: Option<Ceiling>, products: Vec<ListedProduct>) -> Catalogue {
    Catalogue {
        products,
        categories: 11,
        ceiling,
        ..Catalogue::default()
    }
}

fn with_customers(ceiling: Ceiling, filters: Filters) -> Catalogue {
    Catalogue {
        customers: customers(MANY),
        ceiling: Some(ceiling),
        filters,
        ..Catalogue::default()
    }
}

fn shop(catalogue: Catalogue) -> Arc<ScriptedPlatform> {
    Arc::new(ScriptedPlatform {
        catalogue: catalogue.into(),
        ..ScriptedPlatform::with_orders(today(), 2, 2, OrderShape::Full)
    })
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

fn loaded(store: &MemoryStore, resource: Resource) -> BTreeSet<i64> {
    let state = store.0.lock().unwrap();
    state.others.get(&resource).cloned().unwrap_or_default()
}

fn of(certificate: &Certificate, resource: Resource) -> Vec<&WindowCounts> {
    let windows = certificate.windows.iter();
    windows.filter(|w| w.listing.resource == resource).collect()
}

fn whole(certificate: &Certificate, resource: Resource) -> &WindowCounts {
    let windows = of(certificate, resource);
    windows
        .into_iter()
        .find(|w| w.listing.slice.is_none())
        .unwrap()
}

fn asked(shop: &ScriptedPlatform, list: &str) -> usize {
    let log = shop.log.lock().unwrap();
    log.iter().filter(|line| line.starts_with(list)).count()
}

#[tokio::test(start_paused = true)]
async fn products_above_the_ceiling_are_read_by_status_and_category() {
    for ceiling in [Ceiling::Empty, Ceiling::Error, Ceiling::RepeatLast] {
        let shop = shop(with_products(Some(ceiling), products(MANY)));
        let store = Arc::<MemoryStore>::default();
        let certificate = completed(run(&shop, &store).await);
        assert_eq!(
            loaded(&store, Resource::Products).len(),
            MANY,
            "{ceiling:?}"
        );
        let summary = certificate.summary(Resource::Products);
        assert_eq!(
            (summary.reported, summary.loaded, summary.balanced),
            (MANY as u64, MANY as u64, true)
        );
        let listing = &whole(&certificate, Resource::Products).listing;
        assert!(listing.is_sliced);
        let slices: Vec<Slice> = of(&certificate, Resource::Products)
            .iter()
            .filter_map(|w| w.listing.slice)
            .collect();
        assert_eq!(
            slices.len(),
            3 + 11,
            "only what is on sale needs categories"
        );
    }
}

/// What is read of a list before it is known to be too long is a page or two.
#[tokio::test(start_paused = true)]
async fn a_ceiling_is_found_before_the_list_is_read() {
    let shop = shop(with_products(Some(Ceiling::Empty), products(MANY)));
    completed(run(&shop, &Arc::default()).await);
    assert!(asked(&shop, "products page") < 10);
    let of_one_status = asked(&shop, "products sale page");
    assert!(of_one_status < 10, "{of_one_status}");
}

#[tokio::test(start_paused = true)]
async fn a_long_list_without_a_ceiling_is_read_as_ever() {
    let shop = shop(with_products(None, products(12_000)));
    let certificate = completed(run(&shop, &Arc::default()).await);
    assert!(!whole(&certificate, Resource::Products).listing.is_sliced);
    assert_eq!(of(&certificate, Resource::Products).len(), 1);
    // A scan of 240 pages and a look behind them; both ends once more.
    assert_eq!(asked(&shop, "products"), 241 + 2);
}

#[tokio::test(start_paused = true)]
async fn products_that_no_slice_lists_are_named_with_their_number() {
    let mut listed = products(MANY);
    let old = listed.iter_mut().rev();
    old.filter(|p| p.status == ProductStatus::Sale)
        .take(50)
        .for_each(|p| p.categories.clear());
    let shop = shop(with_products(Some(Ceiling::Empty), listed));
    let store = Arc::<MemoryStore>::default();
    let certificate = failed(run(&shop, &store).await);
    let unbalanced: Vec<_> = certificate.unbalanced().collect();
    let named: Vec<_> = unbalanced
        .iter()
        .map(|w| (w.listing.slice, w.listing.difference()))
        .collect();
    let sale = Some(Slice::Status(ProductStatus::Sale));
    assert_eq!(named, [(None, 50), (sale, 50)]);
    assert_eq!(loaded(&store, Resource::Products).len(), MANY - 50);
}

/// Many shops have a category of everything.
#[tokio::test(start_paused = true)]
async fn a_category_that_is_too_long_does_no_harm_where_others_hold_its_products() {
    for ceiling in [Ceiling::Empty, Ceiling::RepeatLast] {
        let mut listed = products(MANY);
        listed.iter_mut().for_each(|p| p.categories.push(12));
        let shop = shop(Catalogue {
            categories: 12,
            ..with_products(Some(ceiling), listed)
        });
        let store = Arc::<MemoryStore>::default();
        let certificate = completed(run(&shop, &store).await);
        assert_eq!(loaded(&store, Resource::Products).len(), MANY);
        let everything = Slice::Category {
            status: ProductStatus::Sale,
            category: 12,
        };
        let windows = of(&certificate, Resource::Products);
        let mut open = windows
            .iter()
            .filter(|w| w.listing.proof() == Proof::CutShort);
        assert_eq!(open.next().unwrap().listing.slice, Some(everything));
        assert_eq!(open.count(), 0);
    }
}

/// The list itself still shows the newest.
#[tokio::test(start_paused = true)]
async fn new_products_in_no_category_are_found_in_the_list_itself() {
    let mut listed = products(MANY);
    let new = listed.iter_mut().skip(20);
    new.take(50).for_each(|p| p.categories.clear());
    let shop = shop(with_products(Some(Ceiling::Error), listed));
    let store = Arc::<MemoryStore>::default();
    completed(run(&shop, &store).await);
    assert_eq!(loaded(&store, Resource::Products).len(), MANY);
}

#[tokio::test(start_paused = true)]
async fn filters_of_products_that_do_nothing_are_not_used() {
    for filters in [Filters::Ignored, Filters::Refused] {
        let shop = shop(Catalogue {
            filters,
            ..with_products(Some(Ceiling::Empty), products(MANY))
        });
        let store = Arc::<MemoryStore>::default();
        let certificate = failed(run(&shop, &store).await);
        let unbalanced: Vec<_> = certificate.unbalanced().collect();
        assert_eq!(unbalanced.len(), 1);
        assert!(!unbalanced[0].listing.is_sliced);
        assert_eq!(unbalanced[0].listing.difference(), 20_000);
        assert_eq!(loaded(&store, Resource::Products).len(), CEILING);
        // What Salla shows is read once, and no further.
        assert!(asked(&shop, "products") < 210);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_that_lies_is_not_believed() {
    let shop = shop(with_products(Some(Ceiling::Lie), products(MANY)));
    let store = Arc::<MemoryStore>::default();
    let certificate = failed(run(&shop, &store).await);
    let listing = &whole(&certificate, Resource::Products).listing;
    assert_eq!((listing.reported, listing.distinct), (10_000, 30_000));
    assert_eq!(listing.proof(), Proof::Unproven);
    assert_eq!(loaded(&store, Resource::Products).len(), MANY);
}

/// Only its slices distinguish a list of exactly that many rows from one that is cut off.
#[tokio::test(start_paused = true)]
async fn a_list_of_just_as_many_rows_is_proven_by_its_slices() {
    let shop = shop(with_products(Some(Ceiling::Lie), products(CEILING)));
    let certificate = completed(run(&shop, &Arc::default()).await);
    assert!(whole(&certificate, Resource::Products).listing.is_sliced);
}

#[tokio::test(start_paused = true)]
async fn customers_above_the_ceiling_are_read_by_days_whatever_their_bounds_are_called() {
    for filters in [Filters::Work, Filters::Swapped] {
        for ceiling in [Ceiling::Empty, Ceiling::Error] {
            let shop = shop(with_customers(ceiling, filters));
            let store = Arc::<MemoryStore>::default();
            let certificate = completed(run(&shop, &store).await);
            assert_eq!(loaded(&store, Resource::Customers).len(), MANY);
            let summary = certificate.summary(Resource::Customers);
            assert_eq!((summary.reported, summary.loaded), (30_000, 30_000));
            let windows = of(&certificate, Resource::Customers);
            let slices = windows.iter().filter(|w| w.listing.slice.is_some());
            assert!(slices.clone().count() >= 4);
            assert!(slices.clone().all(|w| w.listing.reported < 10_000));
            // Windows overlap by three days; each is read once and its ends again.
            assert!(asked(&shop, "customers") < 680);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn customers_whose_dates_do_nothing_cannot_be_proven() {
    for filters in [Filters::Ignored, Filters::Refused] {
        let shop = shop(with_customers(Ceiling::Empty, filters));
        let store = Arc::<MemoryStore>::default();
        let certificate = failed(run(&shop, &store).await);
        let named: Vec<_> = certificate
            .unbalanced()
            .map(|w| (w.listing.resource, w.listing.difference()))
            .collect();
        assert_eq!(named, [(Resource::Customers, 20_000)]);
        assert_eq!(loaded(&store, Resource::Customers).len(), CEILING);
        assert!(asked(&shop, "customers") < 215);
    }
}

/// A restart must not run against the ceiling that it has found before.
#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_proven_is_read_no_further_after_a_restart() {
    let shop = shop(with_customers(Ceiling::Error, Filters::Ignored));
    let store = Arc::<MemoryStore>::default();
    failed(run(&shop, &store).await);
    let before = asked(&shop, "customers");
    failed(run(&shop, &store).await);
    assert!(asked(&shop, "customers") < before + 20);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_interrupted_among_its_slices_goes_on() {
    for (at, ceiling) in [
        (40, Ceiling::Empty),
        (300, Ceiling::Error),
        (900, Ceiling::Empty),
    ] {
        let shop = shop(Catalogue {
            customers: customers(MANY),
            ..with_products(Some(ceiling), products(MANY))
        });
        *shop.fails_at.lock().unwrap() = Some((
            at,
            Failure::Transient {
                message: "gone".into(),
            },
        ));
        let store = Arc::<MemoryStore>::default();
        let outcome = run(&shop, &store).await;
        assert!(
            matches!(outcome, ImportOutcome::Interrupted(_)),
            "{outcome:?}"
        );
        let certificate = completed(run(&shop, &store).await);
        assert!(certificate.balances());
        for resource in [Resource::Products, Resource::Customers] {
            assert_eq!(loaded(&store, resource).len(), MANY, "{resource} {at}");
        }
    }
}
