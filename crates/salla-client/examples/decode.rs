//! Measures how fast a page of whole orders is split and decoded.
//!
//! `cargo run --release -p salla-client --example decode` makes a page of 60 expanded
//! orders (about 400 KB), once in UTF-8 and once escaped as PHP escapes, and decodes it
//! for a few seconds on one core. The goal is 250 MB/s (ARCHITECTURE.md#numbers-to-hold).

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement prints, reads the real clock and may panic"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use domain::resource::Resource;
use salla_client::{envelope, translate};

const ORDERS: usize = 60;

fn main() {
    let page = page();
    measure("UTF-8", &page);
    measure("PHP-escaped", &escaped(&page));
}

fn measure(name: &str, page: &str) {
    let split = rate(page, |body| {
        black_box(envelope::split_list(body).unwrap());
    });
    let decoded = rate(page, |body| {
        let (rows, _) = envelope::split_list(body).unwrap();
        black_box(translate::decode_list(Resource::Orders, rows));
    });
    let in_one_go = rate(page, |body| {
        black_box(translate::list(Resource::Orders, body).unwrap());
    });
    println!(
        "{name:>12}: {} KB, split {split:.0} MB/s, split and decoded {decoded:.0} MB/s, \
         in one go {in_one_go:.0} MB/s",
        page.len() / 1000
    );
}

/// Megabytes a second in the best of many short stretches: other work on the
/// machine can only slow a stretch down.
fn rate(page: &str, work: impl Fn(&[u8])) -> f64 {
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while begin.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        for _ in 0..10 {
            work(black_box(page.as_bytes()));
        }
        best = best.min(start.elapsed());
    }
    page.len() as f64 * 10.0 / best.as_secs_f64() / 1e6
}

fn page() -> String {
    let mut rows = String::new();
    for n in 0..ORDERS {
        let separator = if n == 0 { "" } else { "," };
        write!(rows, "{separator}{}", order(n)).unwrap();
    }
    format!(
        r#"{{"status":200,"success":true,"data":[{rows}],"pagination":{{"count":{ORDERS},"total":50000,"perPage":60,"currentPage":1,"totalPages":834,"links":{{"next":"http://api.salla.dev/admin/v2/orders?page=2"}}}}}}"#
    )
}

fn order(n: usize) -> String {
    let items: Vec<_> = (0..3).map(|i| item(n * 3 + i)).collect();
    format!(
        r#"{{"id":{id},"reference_id":{reference},"urls":{{"customer":"https://shop.example/ar/order/aaaabbbbccccdddd","admin":"https://s.example/orders/order/aaaabbbbccccdddd"}},"date":{{"date":"2024-02-15 08:23:05.000000","timezone_type":3,"timezone":"Asia/Riyadh"}},"updated_at":{{"date":"2024-02-15 11:23:05.000000","timezone_type":3,"timezone":"Asia/Riyadh"}},"source":"store","draft":false,"read":true,"source_details":{{"type":"direct","value":null,"device":"desktop","user-agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/121.0.0.0 Safari/537.36","ip":null}},"status":{{"id":566146469,"name":"قيد المعالجة الآن","slug":"under_review","customized":{{"id":986688842,"name":"قيد المعالجة الآن"}}}},"payment_method":"mada","currency":"SAR","amounts":{{"sub_total":{m1},"shipping_cost":{m2},"cash_on_delivery":{m3},"tax":{{"percent":"15.00","amount":{m2}}},"discounts":[{{"title":"عرض الصيف","type":"normal","code":"summer","discount":"15.00","currency":"SAR","discounted_shipping":"0.00"}}],"total":{m1}}},"exchange_rate":{{"base_currency":"SAR","exchange_currency":"USD","rate":0.2666}},"shipping":{{"id":7,"app_id":null,"company":"شركة الشحن السريع","receiver":{r},"shipper":{r},"pickup_address":{a},"address":{a},"shipment":{{"id":"0","pickup_id":null,"tracking_link":"0","label":[]}},"policy_options":[]}},"shipments":[{{"id":8,"created_at":null,"type":"shipment","courier_name":"شركة الشحن السريع","status":"in_progress","total":{m2},"packages":[{{"item_id":9,"quantity":1,"weight":{{"value":0.2,"units":"kg"}}}}],"ship_from":{a},"ship_to":{a}}}],"can_cancel":false,"show_weight":true,"is_pending_payment":false,"pending_payment_ends_at":0,"total_weight":"٠٫٥١ كجم","customer":{c},"items":[{items}],"bank":null,"tags":[]}}"#,
        id = 418_149_270 + n,
        reference = 3_879_219 + n,
        m1 = money(302 + n, 50),
        m2 = money(39, 46),
        m3 = money(0, 0),
        r = r#"{"name":"اسم المستلم","email":"receiver@example.com","phone":"966500000000"}"#,
        a = r#"{"country":"السعودية","country_code":"SA","city":"مدينة الرياض","shipping_address":"شارع الملك، الحي الأول، بجانب الحديقة العامة، مدينة الرياض، السعودية","street_number":"12","block":"الحي الأول","postal_code":"12345","latitude":24.694018,"longitude":46.6521887}"#,
        c = format_args!(
            r#"{{"id":{},"first_name":"محمد","last_name":"الأحمد","mobile":500000000,"mobile_code":"+966","email":"customer@example.com","urls":{{"customer":"https://shop.example/ar/profile","admin":"https://s.example/customers/aaaabbbb"}},"gender":"male","birthday":{{"date":"1990-01-01 00:00:00.000000","timezone_type":3,"timezone":"Asia/Riyadh"}},"city":"مدينة الرياض","country":"السعودية","country_code":"SA","currency":"SAR","location":"","updated_at":{{"date":"2024-02-15 11:18:00.000000","timezone_type":3,"timezone":"Asia/Riyadh"}}}}"#,
            2_000_000 + n
        ),
        items = items.join(",")
    )
}

fn item(n: usize) -> String {
    format!(
        r#"{{"id":{id},"name":"قميص قطني أزرق مقاس كبير","sku":"sku-{n}","quantity":{quantity},"currency":"SAR","weight":0.51,"weight_label":"٥١٠ جم","amounts":{{"price_without_tax":{m1},"total_discount":{m2},"tax":{{"percent":"15.00","amount":{m2}}},"total":{m1}}},"notes":"","product":{{"id":{product},"type":"product","promotion":{{"title":null,"sub_title":null}},"quantity":1057,"status":"sale","is_available":true,"sku":"sku-{n}","name":"قميص قطني أزرق مقاس كبير","price":{m1},"sale_price":{m2},"currency":"SAR","url":"https://shop.example/ar/p","thumbnail":"https://cdn.example/aaaabbbbccccdddd.jpg","regular_price":{m1},"calories":null,"description":"قميص قطني مريح مناسب لجميع الأوقات","starting_price":null}},"options":[],"images":[],"codes":[],"files":[]}}"#,
        id = 951_850_235 + n,
        product = 268_564_496 + n,
        quantity = n % 3 + 1,
        m1 = money(45 + n, 22),
        m2 = money(6, 78),
    )
}

fn money(whole: usize, cents: usize) -> String {
    format!(r#"{{"amount":{whole}.{cents:02},"currency":"SAR"}}"#)
}

/// The page as PHP's `json_encode` writes it by default.
fn escaped(page: &str) -> String {
    let mut out = String::with_capacity(page.len() * 2);
    for c in page.chars() {
        match c {
            '/' => out.push_str("\\/"),
            c if c.is_ascii() => out.push(c),
            c => write!(out, "\\u{:04x}", u32::from(c)).unwrap(),
        }
    }
    out
}
