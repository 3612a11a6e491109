//! What all tests of the program share.

use std::process::{Command, Stdio};

use salla_simulator::Simulator;

pub(crate) const KEY: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// `salla-sync` with the tokens of a simulated shop, ready to be started. It logs nothing unless a
/// target is set.
pub(crate) fn program(simulator: &Simulator, database_url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salla-sync"));
    command
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .env("SALLA_SYNC_KEY", KEY)
        .env("SALLA_API_URL", simulator.api_url())
        .env("SALLA_ACCOUNTS_URL", simulator.accounts_url())
        .env("SALLA_ACCESS_TOKEN", simulator.access_token())
        .env("SALLA_REFRESH_TOKEN", simulator.refresh_token())
        .env("SALLA_CLIENT_ID", simulator.client_id())
        .env("SALLA_CLIENT_SECRET", simulator.client_secret())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
