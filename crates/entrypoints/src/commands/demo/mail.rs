//! The demo's mail server, and the e-mail that notifies its merchant of the import.

use std::sync::Arc;
use std::time::Duration;

use importer::notification_worker::NotificationWorker;
use importer::ports::clock::Clock;
use importer::ports::queue::{Queue as _, QueueName};
use notifiers::{Email, EmailSettings, EmailTls, Sender};
use salla_simulator::{Mail, MailServer};
use url::Url;

use crate::display::lines;
use crate::wiring::OpenDatabase;

/// Sends the notifications that the import left, as a worker does, through a mail server of the demo,
/// and returns what arrived there.
pub(super) async fn deliver(
    open: &OpenDatabase,
    sign_in: Url,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<Mail>> {
    let server = MailServer::start().await?;
    let from = Sender::parse("salla-sync <sync@demo.example>");
    let settings = EmailSettings {
        host: server.address().ip().to_string(),
        port: server.address().port(),
        tls: EmailTls::None,
        credentials: None,
        authorities: None,
        from: from.expect("the demo's sender is an address"),
        sign_in,
    };
    let queue = Arc::new(open.database.queue(QueueName::Notifications));
    let worker = NotificationWorker {
        queue: queue.clone(),
        store: Arc::new(open.database.notifications()),
        notifiers: vec![Arc::new(Email::new(
            &settings,
            open.contacts()?,
            clock.clone(),
        )?)],
        clock: clock.clone(),
    };
    let lease = Duration::from_secs(60);
    for delivery in queue.receive(10, lease, Duration::ZERO).await? {
        let disposition = worker.run_one(&delivery).await;
        queue.settle(&delivery.receipt, disposition).await?;
    }
    Ok(server.mails())
}

/// The text that the merchant reads; most mail readers show the same as HTML.
pub(super) fn show(mails: &[Mail]) {
    for mail in mails {
        let subject = mail.header("subject").unwrap_or_default();
        // Terminals show marks of direction as escapes.
        let text = mail.part("text/plain").unwrap_or_default();
        let text = text.replace(['\u{2068}', '\u{2069}'], "");
        let quoted: String = text.lines().map(|line| format!("  | {line}\n")).collect();
        lines(format!(
            "\nThe merchant got an e-mail (to {}):\n  | {subject}\n  |\n{}",
            mail.to.join(", "),
            quoted.trim_end()
        ));
    }
}
