//! A merchant gets an e-mail exactly once, even if the mail server or the workers fail.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use domain::contact::{EmailAddress, Language};
use domain::job::{NotificationJob, NotificationKind};
use importer::ports::contacts::ContactChange;
use importer::ports::notifications::Notifier;
use importer::ports::queue::{DeadLetters as _, Queue as _, QueueName, Redrive};
use notifiers::{Email, EmailSettings, EmailTls, Sender};
use salla_simulator::{MailReply, MailServer, MailStage};

use crate::jobs::BackgroundService;
use crate::notifications::{after_an_import, count, notify};

async fn channel(background: &BackgroundService, server: &MailServer) -> Arc<dyn Notifier> {
    let settings = EmailSettings {
        host: "127.0.0.1".to_owned(),
        port: server.address().port(),
        tls: EmailTls::None,
        credentials: None,
        authorities: None,
        from: Sender::parse("sync@example.com").unwrap(),
        sign_in: "https://app.example.com/sign-in".parse().unwrap(),
    };
    let open = &background.service.open;
    let change = ContactChange {
        address: Some(EmailAddress::parse("owner@example.com")),
        language: Some(Language::English),
        ..ContactChange::default()
    };
    let contacts = open.contacts().unwrap();
    contacts.change(background.merchant, &change).await.unwrap();
    let email = Email::new(&settings, contacts, background.service.clock.clone());
    Arc::new(email.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_notified_once_after_refusals_and_repetitions() {
    let background = after_an_import().await;
    let server = MailServer::start().await.unwrap();
    let email = channel(&background, &server).await;
    let later = |text: &str| MailReply::Line(text.to_owned());
    server.reply_next(MailStage::Greeting, later("421 4.3.2 closing"));
    server.reply_next(MailStage::Recipient, later("451 4.7.1 greylisted"));
    server.reply_next(MailStage::Message, MailReply::HangUp);
    notify(&background, vec![email.clone()]).await;
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert!(
        mails[0]
            .header("subject")
            .unwrap()
            .starts_with("Your shop's history has been imported")
    );
    assert_eq!(count(&background, "deliveries").await, 1);

    // The same message comes again, as after a crash before it was settled.
    let queue = background.queue(QueueName::Notifications);
    let runs = background.service.open.runs().list().await.unwrap();
    let job = NotificationJob {
        kind: NotificationKind::SyncComplete,
        merchant: background.merchant,
        run: runs[0].1.as_ref().unwrap().id,
    };
    let body = job.to_json().unwrap();
    queue.send(&body, Duration::ZERO).await.unwrap();
    notify(&background, vec![email]).await;
    assert_eq!(server.mails().len(), 1);
    assert_eq!(queue.list(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_ends_among_the_dead_letters_without_being_named() {
    let background = after_an_import().await;
    let server = MailServer::start().await.unwrap();
    let email = channel(&background, &server).await;
    let refusal = "550 5.1.1 <owner@example.com> unknown".to_owned();
    server.reply_next(MailStage::Recipient, MailReply::Line(refusal));
    notify(&background, vec![email.clone()]).await;
    let queue = background.queue(QueueName::Notifications);
    let letters = queue.list(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].reason,
        "email to 127.0.0.1: it responded with 550 5.1.1"
    );
    queue.redrive(Redrive::All).await.unwrap();
    notify(&background, vec![email]).await;
    assert_eq!(server.mails().len(), 1);
}
