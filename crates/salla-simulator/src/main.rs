//! The simulator as a program, for demos and for trying things out by hand.

#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use salla_simulator::{Plan, Scenario, Simulator};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Example:\n  salla-simulator serve --port 8090 --orders 50000 --plan pro --clock-scale 10\n  curl -H 'Authorization: Bearer TOKEN' 'http://127.0.0.1:8090/admin/v2/orders?per_page=60&expanded=true'"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a simulated shop until interrupted.
    Serve(Serve),
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  salla-simulator serve --scenario crates/salla-simulator/scenarios/rough.toml --orders 5000"
)]
struct Serve {
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// A TOML file with a whole scenario; the options below override it.
    #[arg(long)]
    scenario: Option<PathBuf>,
    #[arg(long)]
    orders: Option<u64>,
    #[arg(long)]
    customers: Option<u64>,
    #[arg(long)]
    products: Option<u64>,
    #[arg(long)]
    categories: Option<u64>,
    /// How far back the orders reach.
    #[arg(long)]
    months: Option<u32>,
    /// The shop's present: `today`, or a moment like 2025-06-15T09:00:00Z.
    #[arg(long)]
    now: Option<String>,
    /// Decides every record of the shop and every fault.
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long)]
    plan: Option<PlanName>,
    /// Simulated seconds per real second, for limits and token lifetimes.
    #[arg(long)]
    clock_scale: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum PlanName {
    Basic,
    Plus,
    Pro,
    Special,
    Unlimited,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).init();
    match CommandLine::parse().command {
        Command::Serve(options) => serve(options).await,
    }
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let scenario = options.scenario()?;
    let address = SocketAddr::from((options.host, options.port));
    let simulator = Simulator::start_on(scenario, address).await?;
    print_connection(&simulator);
    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for the interrupt")?;
    simulator.stop().await;
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the program tells its user how to reach it"
)]
fn print_connection(simulator: &Simulator) {
    let scenario = simulator.scenario();
    println!("seed           {}", scenario.seed);
    println!(
        "shop           {} orders over {} months, {:?} plan",
        scenario.shop.orders, scenario.shop.months, scenario.shop.plan
    );
    println!("present        {}", scenario.shop.now);
    println!("api            {}", simulator.api_url());
    println!("accounts       {}", simulator.accounts_url());
    println!("merchant id    {}", simulator.merchant_id());
    println!("access token   {}", simulator.access_token());
    println!("refresh token  {}", simulator.refresh_token());
    println!("client id      {}", simulator.client_id());
    println!("client secret  {}", simulator.client_secret());
    println!("app id         {}", scenario.embedded.app_id);
    println!("introspection  {}", simulator.introspect_url());
    println!("dashboard      {}?frame=ADDRESS", simulator.dashboard_url());
    println!(
        "ledger         {}/_simulator/ledger",
        simulator.accounts_url()
    );
    println!(
        "truth          {}/_simulator/truth",
        simulator.accounts_url()
    );
}

impl Serve {
    fn scenario(&self) -> anyhow::Result<Scenario> {
        let mut scenario = match &self.scenario {
            Some(path) => Scenario::from_file(path)?,
            None => Scenario::default(),
        };
        match self.now.as_deref() {
            None => {}
            Some("today") => scenario = scenario.moved_to(salla_simulator::present()),
            Some(moment) => scenario = scenario.moved_to(moment.parse()?),
        }
        if let Some(seed) = self.seed {
            scenario.seed = seed;
            scenario.shop.seed = seed;
        }
        let shop = &mut scenario.shop;
        shop.orders = self.orders.unwrap_or(shop.orders);
        shop.customers = self.customers.unwrap_or(shop.customers);
        shop.products = self.products.unwrap_or(shop.products);
        shop.categories = self.categories.unwrap_or(shop.categories);
        shop.months = self.months.unwrap_or(shop.months);
        shop.plan = self.plan.map_or(shop.plan, PlanName::plan);
        scenario.clock.scale = self.clock_scale.unwrap_or(scenario.clock.scale);
        Ok(scenario)
    }
}

impl PlanName {
    fn plan(self) -> Plan {
        match self {
            Self::Basic => Plan::Basic,
            Self::Plus => Plan::Plus,
            Self::Pro => Plan::Pro,
            Self::Special => Plan::Special,
            Self::Unlimited => Plan::Unlimited,
        }
    }
}
