//! Lists that are read in slices.

use domain::certificate::Proof;
use domain::resource::Resource;
use domain::slice::{DateMeaning, ProductStatus, Slice};
use importer::ports::landing::{Landing, ScannedPage};
use importer::ports::platform::{Pagination, Records};
use importer::ports::runs::{Listings, Runs, StoredWindow, WindowSpec, Windows};

use crate::make::{at, customer, ok};
use crate::shop::{Shop, range};

const SALE: Slice = Slice::Status(ProductStatus::Sale);
const OF_SALE: Slice = Slice::Category {
    status: ProductStatus::Sale,
    category: 7,
};
const OUT: Slice = Slice::Status(ProductStatus::Out);

fn part(slice: Slice) -> WindowSpec {
    WindowSpec {
        slice: Some(slice),
        days: None,
    }
}

async fn of_customers(shop: &Shop) -> Vec<StoredWindow> {
    let windows = shop.runs.windows(shop.lease).await.unwrap();
    windows
        .into_iter()
        .filter(|w| w.resource == Resource::Customers)
        .collect()
}

async fn slice(shop: &Shop, whole: Option<Slice>, parts: &[WindowSpec]) {
    let windows = of_customers(shop).await;
    let window = windows.iter().find(|w| w.slice == whole).unwrap();
    let (runs, lease) = (&shop.runs, shop.lease);
    runs.slice_window(lease, window.id, parts).await.unwrap();
}

/// Lands one page with these customers; a customer stands for a record as good as any.
async fn land(shop: &Shop, slice: Option<Slice>, total: u64, ids: &[i64]) {
    let windows = of_customers(shop).await;
    let window = windows.into_iter().find(|w| w.slice == slice).unwrap();
    let (runs, lease) = (&shop.runs, shop.lease);
    let walk = runs.begin_scan(lease, window.id).await.unwrap();
    let page = ScannedPage {
        window: window.id,
        scan: walk,
        page: 1,
        pagination: Pagination {
            count: ids.len() as u32,
            total,
            per_page: 60,
            current_page: 1,
            total_pages: 1,
        },
        version: at(1),
        records: Records::Customers(ids.iter().map(|id| ok(customer(*id))).collect()),
    };
    let landed = shop.landing.land_pages(lease, &[page]).await;
    landed.unwrap();
}

#[tokio::test]
async fn slices_stand_behind_their_window_once_and_are_read_back() {
    let shop = Shop::open().await;
    let created = WindowSpec {
        slice: Some(Slice::Created(DateMeaning::Swapped)),
        days: Some(range()),
    };
    for _ in 0..2 {
        slice(&shop, None, &[part(SALE), part(OUT), created]).await;
    }
    slice(&shop, Some(SALE), &[part(OF_SALE)]).await;
    let windows = of_customers(&shop).await;
    let found: Vec<_> = windows.iter().map(|w| (w.slice, w.is_sliced)).collect();
    let expected = [
        (None, true),
        (Some(SALE), true),
        (Some(OF_SALE), false),
        (Some(OUT), false),
        (created.slice, false),
    ];
    assert_eq!(found, expected);
    assert_eq!(windows[4].days, created.days);
    let all = shop.runs.windows(shop.lease).await.unwrap();
    assert_eq!(all.len(), 5 + 4);
    assert_eq!(all.last().unwrap().resource, Resource::OrderStatuses);

    let (older, newer) = range().split().unwrap();
    let (runs, lease) = (&shop.runs, shop.lease);
    let halves = [newer, older];
    runs.split_window(lease, windows[4].id, halves)
        .await
        .unwrap();
    let windows = of_customers(&shop).await;
    let days: Vec<_> = windows[4..].iter().map(|w| (w.slice, w.days)).collect();
    let expected = halves.map(|days| (created.slice, Some(days)));
    assert_eq!(days, expected, "halves are of the same slice");
}

#[tokio::test]
async fn a_list_counts_what_its_slices_list_and_no_more() {
    let shop = Shop::open().await;
    land(&shop, None, 7, &[1, 2]).await;
    slice(&shop, None, &[part(SALE), part(OUT)]).await;
    land(&shop, Some(SALE), 3, &[3]).await;
    slice(&shop, Some(SALE), &[part(OF_SALE)]).await;
    land(&shop, Some(OF_SALE), 2, &[4, 5]).await;
    land(&shop, Some(OUT), 2, &[2, 6]).await;
    // Current scans only: what an earlier one has listed may be gone.
    land(&shop, None, 6, &[2]).await;

    let count = async |slice: Option<Slice>| {
        let certificate = shop.runs.certify(shop.lease, at(9)).await.unwrap();
        let windows = certificate.windows.into_iter();
        let mut of_it = windows.filter(|w| w.listing.resource == Resource::Customers);
        of_it.find(|w| w.listing.slice == slice).unwrap()
    };
    let whole = count(None).await;
    assert_eq!((whole.listing.reported, whole.listing.distinct), (6, 5));
    assert_eq!((whole.loaded, whole.listing.proof()), (5, Proof::Unproven));
    let sale = count(Some(SALE)).await;
    assert_eq!((sale.listing.reported, sale.listing.distinct), (3, 3));
    assert_eq!((sale.loaded, sale.listing.proof()), (3, Proof::Proven));
    assert_eq!(count(Some(OUT)).await.listing.distinct, 2);

    land(&shop, Some(OUT), 3, &[2, 6, 8]).await;
    let windows = of_customers(&shop).await;
    let listing = shop.runs.listing(shop.lease, windows[0].id).await.unwrap();
    assert_eq!((listing.distinct, listing.is_sliced), (6, true));
    assert_eq!(listing.proof(), Proof::Proven);
}
