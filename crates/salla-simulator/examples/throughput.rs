//! Measures how fast one connection can read a big shop page by page, and how
//! much memory the simulator needs for it.
//!
//! `cargo run --release -p salla-simulator --example throughput -- 500000`

use anyhow::Context;
use salla_simulator::{Plan, Scenario, ShopSpec, Simulator};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "printing the measurement is the purpose"
)]
async fn main() -> anyhow::Result<()> {
    let orders = match std::env::args().nth(1) {
        Some(text) => text.parse().context("the argument is a number of orders")?,
        None => 500_000,
    };
    let shop = ShopSpec {
        orders,
        customers: orders / 4,
        products: 2_000,
        plan: Plan::Unlimited,
        ..ShopSpec::default()
    };
    let simulator = Simulator::start(Scenario {
        shop,
        ..Scenario::default()
    })
    .await?;
    let url = simulator.accounts_url();
    let address = url.trim_start_matches("http://").to_owned();
    let token = simulator.access_token().to_owned();
    let pages = orders.div_ceil(60);
    let begun = simulator.clock().now();
    let bytes = tokio::task::spawn_blocking(move || read_all(&address, &token, pages)).await??;
    let seconds = simulator.clock().now().duration_since(begun).as_secs_f64();
    println!(
        "{pages} pages in {seconds:.1} s: {:.0} pages/s, {:.0} orders/s, {} bytes an order",
        pages as f64 / seconds,
        orders as f64 / seconds,
        bytes / orders.max(1),
    );
    println!("memory: {}", resident_memory()?);
    Ok(())
}

/// A client so plain that it costs next to nothing beside the simulator.
fn read_all(address: &str, token: &str, pages: u64) -> anyhow::Result<u64> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    let mut stream = stream;
    let mut bytes = 0;
    for page in 1..=pages {
        write!(
            stream,
            "GET /admin/v2/orders?expanded=true&per_page=60&sort_by=created_at-asc&page={page} HTTP/1.1\r\n\
             Host: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )?;
        let length = content_length(&mut reader)?;
        bytes += std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    }
    Ok(bytes)
}

fn content_length(reader: &mut BufReader<TcpStream>) -> anyhow::Result<u64> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?.to_lowercase();
    anyhow::ensure!(
        head.starts_with("http/1.1 200"),
        "not answered with 200: {head}"
    );
    let (_, rest) = head
        .split_once("content-length: ")
        .context("the answer has a length")?;
    Ok(rest.lines().next().unwrap_or("").trim().parse()?)
}

fn resident_memory() -> anyhow::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    Ok(lines.collect::<Vec<_>>().join(", "))
}
