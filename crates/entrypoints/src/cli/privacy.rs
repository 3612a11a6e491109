//! What is known of people: what can be typed about it.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Salla's id of the customer.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub customer: i64,
    /// Whose customer it is (Salla's number of the shop); needed where several shops have one
    /// with this id.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// Write to this new file, which nobody else may read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct ForgetDataArgs {
    /// Salla's id of a customer.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..),
          required_unless_present_any = ["shop", "expired"])]
    pub customer: Option<i64>,
    /// A whole shop (Salla's number), or whose customer it is.
    #[arg(long, value_name = "SALLA ID")]
    pub shop: Option<i64>,
    /// All shops that removed the app longer ago than SALLA_SYNC_RETENTION.
    #[arg(long, conflicts_with_all = ["customer", "shop"])]
    pub expired: bool,
    /// Say what would be deleted, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
