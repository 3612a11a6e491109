//! `salla-sync extend`: goes further back than the finished imports did, and reads what has
//! changed since.

use domain::shop::MerchantId;
use importer::ports::runs::Runs;

use super::import::prepare_import;
use crate::cli::{DatabaseArgs, ExtendArgs};
use crate::exit::{Exit, UsageError};

pub async fn run(arguments: ExtendArgs, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let part = &arguments.part;
    let ready = prepare_import(&part.tokens, part.budget_share, database).await?;
    require_finished(ready.runs().as_ref(), ready.merchant, "salla-sync import").await?;
    ready.import_part(None, arguments.months, part).await
}

/// `begin_with` makes the first import.
pub(crate) async fn require_finished(
    runs: &dyn Runs,
    merchant: MerchantId,
    begin_with: &str,
) -> anyhow::Result<()> {
    match runs.latest_finished(merchant).await? {
        Some(_) => Ok(()),
        None => Err(UsageError::one(format!(
            "this shop has no finished import to extend; run `{begin_with}` first"
        ))
        .into()),
    }
}
