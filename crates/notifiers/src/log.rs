//! One structured event for each notification. Ids only: a shop's name may be that of a
//! person.

use async_trait::async_trait;
use domain::failure::Failure;
use domain::notification::Audience;
use importer::ports::notifications::{Alert, Alerts, Notice, Notifier};

#[derive(Clone, Copy, Debug)]
pub struct Log;

#[async_trait]
impl Notifier for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn audience(&self) -> Audience {
        Audience::Merchant
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), Failure> {
        tracing::info!(
            target: "salla.notification",
            notification_id = %notice.id,
            kind = notice.kind.as_str(),
            merchant_id = %notice.shop.merchant,
            run_id = %notice.run,
            failure = notice.failure.as_ref().map(|failure| failure.code.as_str()),
            orders = notice.progress.orders,
            "notified"
        );
        Ok(())
    }
}

#[async_trait]
impl Alerts for Log {
    async fn raise(&self, alert: &Alert) -> Result<(), Failure> {
        tracing::error!(
            target: "salla.alert",
            code = alert.code,
            merchant_id = alert.merchant.map(|id| id.to_string()),
            run_id = alert.run.map(|id| id.to_string()),
            advice = alert.advice,
            "{}", alert.summary
        );
        Ok(())
    }
}
