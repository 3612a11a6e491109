//! The keys of `SALLA_SYNC_KEY`: what can be typed about them.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key and print it, once, on standard output.
    #[command(after_help = "Examples:\n  \
        salla-sync keys generate > /etc/salla-sync/new-key\n  \
        salla-sync keys generate --name k2\n\n\
        Put it in front of the former one: SALLA_SYNC_KEY=NEW,FORMER")]
    Generate(GenerateArgs),
    /// Seal everything again that a former key has sealed, while workers run.
    #[command(after_help = "Example:\n  \
        SALLA_SYNC_KEY=k2:…,k1:… DATABASE_URL=postgres://… salla-sync keys rotate\n\n\
        Before: every worker and server has the new key, first behind the former one and then\n\
        in front of it. May be interrupted and repeated.")]
    Rotate(RotateArgs),
    /// Say how many values each key seals, and which keys are needed.
    #[command(after_help = "Example:\n  salla-sync keys status --json")]
    Status(KeyStatusArgs),
}

#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    /// What to call it, instead of a name by chance: letters, digits, - and _.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct RotateArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct KeyStatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (1..=64).contains(&text.len()) && text.chars().all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("give a name of letters, digits, - and _".to_owned()),
    }
}
