#![allow(warnings, clippy::all)]
use domain::resource::Resource;
use importer::ports::clock::*;
use importer::ports::platform::*;
use salla_client::tokens::TokenSource;
use salla_client::*;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (url, token, scale, n, share) = (
        a[1].clone(),
        a[2].clone(),
        a[3].parse::<f64>().unwrap(),
        a[4].parse::<u64>().unwrap(),
        a[5].parse::<f64>().unwrap(),
    );
    let list = a.get(6).is_some_and(|s| s == "list");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::scaled(jiff::Timestamp::now(), scale));
    let cb = customers_budget(clock.clone(), 1);
    let mut s = ClientSettings::new(
        url.parse().unwrap(),
        http::http_client().unwrap(),
        clock.clone(),
        TokenSource::Fixed(token.into()),
        cb,
    );
    s.share = share;
    let c = Arc::new(SallaClient::new(s));
    let info = c.shop_info().await.unwrap();
    let t0 = clock.monotonic();
    let w = std::time::Instant::now();
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut js = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (c, next) = (c.clone(), next.clone());
        js.spawn(async move {
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if i >= n {
                    break;
                }
                if list {
                    c.list_page(&PageRequest {
                        resource: Resource::Orders,
                        days: None,
                        page: 1 + (i % 100) as u32,
                        sort: Sort::OldestFirst,
                        expanded: true,
                    })
                    .await
                    .unwrap();
                } else {
                    c.order_detail(i as i64 + 1).await.unwrap();
                }
            }
        });
    }
    while js.join_next().await.is_some() {}
    let took = (clock.monotonic() - t0).as_secs_f64();
    let r = c.budget();
    let floor = domain::plan::Budget {
        requests_per_minute: r.limit_per_minute,
        share,
    }
    .floor_seconds(n);
    println!(
        "plan {:?} {n} requests in {took:.1} s (wall {:.1}) floor {floor} ratio {:.4} {r:?}",
        info.plan,
        w.elapsed().as_secs_f64(),
        took / floor as f64
    );
}
