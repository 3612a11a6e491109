//! What can be typed about change-data-capture.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum CdcCommand {
    /// Publish the tables in the schema salla for readers of PostgreSQL's log. Raw records and
    /// everything else of salla-sync's own are left out. May be repeated, and has to be after
    /// an upgrade that brings tables.
    #[command(after_help = "Example:\n  salla-sync cdc enable --slot warehouse\n\n\
        A slot keeps the server's log until somebody reads it. Nobody reading for days fills\n\
        the disk: watch `salla-sync cdc status`, and drop what is not read.")]
    Enable(EnableCdcArgs),
    /// Show what is published, and how far the readers of each slot are behind.
    Status(CdcStatusArgs),
    /// Drop the publication, and a slot if one is named.
    #[command(after_help = "Example:\n  salla-sync cdc disable --slot warehouse")]
    Disable(DisableCdcArgs),
}

#[derive(Args, Clone, Debug)]
pub struct EnableCdcArgs {
    /// Make a logical slot of this name (pgoutput) as well. Most readers make their own.
    #[arg(long, value_name = "NAME", value_parser = parse_slot)]
    pub slot: Option<String>,
    /// Log whole old rows with each change (REPLICA IDENTITY FULL), for readers that need what
    /// a row was before; the log grows by that.
    #[arg(long)]
    pub full_rows: bool,
}

#[derive(Args, Clone, Debug)]
pub struct CdcStatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DisableCdcArgs {
    /// Drop the slot of this name as well. Its reader has to be stopped before.
    #[arg(long, value_name = "NAME", value_parser = parse_slot)]
    pub slot: Option<String>,
}

/// As PostgreSQL allows it.
fn parse_slot(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match (1..=63).contains(&text.len()) && text.chars().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err("up to 63 small letters, digits and _".to_owned()),
    }
}
