//! E-mail against a mail server.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::contact::{EmailAddress, Language};
use domain::failure::Failure;
use domain::job::NotificationKind;
use domain::shop::MerchantId;
use importer::notifier_contract;
use importer::ports::clock::SystemClock;
use importer::ports::contacts::{ContactChange, ContactSettings, Contacts};
use importer::ports::notifications::Notifier;
use importer::testing::notifier::{NotifierFixture, OtherSide, notice};
use notifiers::{Email, EmailSettings, EmailTls, Sender};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use salla_simulator::{MailReply, MailServer, MailStage};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const TO: &str = "merchant.person@example.com";
const PASSWORD: &str = "a password of the server";

/// What is known of every shop.
struct Known(Mutex<ContactSettings>);

impl Known {
    fn of(language: Language) -> Arc<Self> {
        Arc::new(Self(Mutex::new(ContactSettings {
            address: EmailAddress::parse(TO),
            language,
            ..ContactSettings::default()
        })))
    }
}

#[async_trait]
impl Contacts for Known {
    async fn contact_of(&self, _: MerchantId) -> Result<ContactSettings, Failure> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn change(&self, _: MerchantId, _: &ContactChange) -> Result<ContactSettings, Failure> {
        unreachable!("a channel changes nothing")
    }

    async fn suggest(&self, _: MerchantId, _: &EmailAddress) -> Result<(), Failure> {
        unreachable!("a channel changes nothing")
    }
}

fn settings(port: u16, tls: EmailTls) -> EmailSettings {
    EmailSettings {
        host: "localhost".to_owned(),
        port,
        tls,
        credentials: None,
        authorities: None,
        from: Sender::parse("متجر Sync <sync@example.com>").unwrap(),
        sign_in: "https://sync.example.com/sign-in".parse().unwrap(),
    }
}

fn email(settings: &EmailSettings, known: Arc<Known>) -> Email {
    Email::new(settings, known, Arc::new(SystemClock::real())).unwrap()
}

struct Fixture {
    server: MailServer,
    email: Arc<Email>,
}

async fn fixture() -> Fixture {
    let server = MailServer::start().await.unwrap();
    let settings = EmailSettings {
        credentials: Some(("user".to_owned(), PASSWORD.into())),
        ..settings(server.address().port(), EmailTls::None)
    };
    let email = Arc::new(email(&settings, Known::of(Language::Arabic)));
    Fixture { server, email }
}

#[async_trait]
impl NotifierFixture for Fixture {
    fn notifier(&self) -> Arc<dyn Notifier> {
        self.email.clone()
    }

    async fn next(&self, does: OtherSide) {
        let line = |text: &str| MailReply::Line(format!("{text} <{TO}> {PASSWORD}"));
        let (stage, reply) = match does {
            OtherSide::RefusesForNow => (MailStage::Recipient, line("451 4.7.1 later")),
            OtherSide::Refuses => (MailStage::Recipient, line("550 5.1.1 unknown")),
            OtherSide::HangsUp => (MailStage::Data, MailReply::HangUp),
        };
        self.server.reply_next(stage, reply);
    }

    async fn taken(&self) -> Vec<String> {
        let mails = self.server.mails().into_iter();
        mails
            .map(|mail| mail.header("message-id").unwrap())
            .collect()
    }

    fn unspeakable(&self) -> Vec<String> {
        [TO, "merchant.person", PASSWORD].map(str::to_owned).into()
    }
}

notifier_contract!(fixture);

#[tokio::test]
async fn a_message_in_arabic_arrives_as_it_was_meant() {
    let fixture = fixture().await;
    let notice = notice(7, NotificationKind::SyncFailed);
    fixture.email.deliver(&notice).await.unwrap();
    let mail = fixture.server.mails().pop().unwrap();
    assert!(mail.raw.is_ascii(), "every server can forward it");
    assert!(mail.raw.lines().all(|line| line.len() <= 998));
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("sync@example.com", [TO.to_owned()].as_slice())
    );
    let header = |name: &str| mail.header(name).unwrap();
    assert_eq!(header("subject"), "توقّف استيراد بيانات متجرك – متجر النخلة");
    assert!(header("from").contains("متجر Sync"), "{}", header("from"));
    assert_eq!(header("auto-submitted"), "auto-generated");
    assert_eq!(header("content-language"), "ar");
    assert!(header("date").contains("20"));
    let (text, html) = (
        mail.part("text/plain").unwrap(),
        mail.part("text/html").unwrap(),
    );
    for part in [&text, &html] {
        assert!(
            part.contains("1,234") && part.contains("متجر النخلة"),
            "{part}"
        );
        assert!(part.contains("ابدأ من جديد"), "{part}");
        assert!(part.contains("https://sync.example.com/sign-in"), "{part}");
        assert!(part.contains("15 يونيو 2026، 12:00"), "{part}");
        assert!(
            !part.contains("doctor"),
            "what to type is of no use to a merchant"
        );
    }
    assert!(html.contains("dir=\"rtl\"") && !html.contains("dir=\"ltr\""));
}

/// A shop's name, however chosen, cannot write a header or a line of the conversation.
#[tokio::test]
async fn the_name_of_a_shop_adds_nothing_to_the_head() {
    let fixture = fixture().await;
    let mut notice = notice(7, NotificationKind::SyncComplete);
    fixture.email.deliver(&notice).await.unwrap();
    for name in [
        "x\r\nBcc: thief@example.com\r\n\r\n<script>",
        "x\nBcc: thief@example.com",
        "\u{202e}\u{2066}x\u{2028}Bcc: thief@example.com",
        "=?utf-8?Q?x=0D=0ABcc:_thief@example.com?=",
        "\r\n.\r\nMAIL FROM:<thief@example.com>",
        &"م".repeat(500),
    ] {
        notice.shop.name = name.to_owned();
        fixture.email.deliver(&notice).await.unwrap();
        let mails = fixture.server.mails();
        let (plain, named) = (&mails[0], mails.last().unwrap());
        assert_eq!(named.header_names(), plain.header_names(), "{name:?}");
        assert_eq!(named.to, [TO]);
        let subject = named.header("subject").unwrap();
        assert!(!subject.contains(['\u{202e}', '\u{2066}', '\u{2028}', '\r', '\n']));
        assert!(!named.part("text/html").unwrap().contains("<script>"));
    }
    assert_eq!(fixture.server.mails().len(), 7);
}

#[tokio::test]
async fn who_wants_no_e_mail_or_has_no_address_gets_none() {
    let server = MailServer::start().await.unwrap();
    let known = Known::of(Language::English);
    let settings = settings(server.address().port(), EmailTls::None);
    let email = email(&settings, known.clone());
    let notice = notice(7, NotificationKind::SyncComplete);
    known.0.lock().unwrap().wants_email = false;
    email.deliver(&notice).await.unwrap();
    *known.0.lock().unwrap() = ContactSettings::default();
    email.deliver(&notice).await.unwrap();
    assert_eq!(server.connections(), 0);
}

/// The response that says that the message was taken is lost: it is sent again by the same name.
#[tokio::test]
async fn what_was_taken_without_a_word_comes_again_by_the_same_name() {
    let fixture = fixture().await;
    let notice = notice(7, NotificationKind::SyncComplete);
    fixture
        .server
        .reply_next(MailStage::Message, MailReply::TakeAndHangUp);
    let failure = fixture.email.deliver(&notice).await.unwrap_err();
    assert!(failure.resumes_by_itself(), "{failure}");
    fixture.email.deliver(&notice).await.unwrap();
    let taken = fixture.taken().await;
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0], taken[1]);
}

#[tokio::test]
async fn each_refusal_says_its_codes_and_whether_it_passes() {
    let table = [
        (MailStage::Greeting, "421 4.3.2 closing", "421 4.3.2", true),
        (MailStage::Greeting, "554 5.7.1 not you", "554 5.7.1", false),
        (
            MailStage::Authentication,
            "454 4.7.0 later",
            "454 4.7.0",
            true,
        ),
        (
            MailStage::Authentication,
            "535 5.7.8 wrong",
            "535 5.7.8",
            false,
        ),
        (
            MailStage::Sender,
            "550 5.7.1 not from there",
            "550 5.7.1",
            false,
        ),
        (MailStage::Recipient, "450 4.2.1 busy", "450 4.2.1", true),
        (MailStage::Data, "452 full", "452", true),
        (MailStage::Message, "552 5.3.4 too big", "552 5.3.4", false),
        (
            MailStage::Message,
            "451 4.7.1 greylisted",
            "451 4.7.1",
            true,
        ),
    ];
    for (stage, reply, code, passes) in table {
        let fixture = fixture().await;
        fixture
            .server
            .reply_next(stage, MailReply::Line(reply.to_owned()));
        let notice = notice(7, NotificationKind::SyncComplete);
        let failure = fixture.email.deliver(&notice).await.unwrap_err();
        assert_eq!(failure.resumes_by_itself(), passes, "{stage:?} {reply}");
        let said = failure.to_string();
        assert!(
            said.contains(&format!("localhost: it responded with {code}")),
            "{said}"
        );
        let words = reply.rsplit_once(' ').unwrap().1;
        assert!(!said.contains(words), "{said}");
        assert_eq!(fixture.server.mails(), []);
    }
}

/// A server with TLS in front of a plain one, and the authority that vouches for it.
async fn behind_tls(server: &MailServer) -> (u16, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![certificate.der().clone()],
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
    )
    .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = server.address();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(plain).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (port, authority.pem().into_bytes())
}

#[tokio::test]
async fn the_way_is_encrypted_or_nothing_is_sent() {
    let server = MailServer::start().await.unwrap();
    let (port, authority) = behind_tls(&server).await;
    let notice = notice(7, NotificationKind::SyncComplete);
    let trusting = EmailSettings {
        authorities: Some(authority),
        ..settings(port, EmailTls::Implicit)
    };
    email(&trusting, Known::of(Language::Arabic))
        .deliver(&notice)
        .await
        .unwrap();
    assert_eq!(server.mails().len(), 1);

    let strict = settings(port, EmailTls::Implicit);
    let delivery = email(&strict, Known::of(Language::Arabic));
    let failure = delivery.deliver(&notice).await.unwrap_err();
    assert!(
        failure.to_string().contains("certificate is not trusted"),
        "{failure}"
    );

    let starttls = settings(server.address().port(), EmailTls::StartTls);
    let delivery = email(&starttls, Known::of(Language::Arabic));
    let failure = delivery.deliver(&notice).await.unwrap_err();
    assert!(failure.to_string().contains("offers no TLS"), "{failure}");
    assert!(!failure.resumes_by_itself());
    assert_eq!(server.mails().len(), 1, "nothing was sent in the clear");

    let closed_port = settings(1, EmailTls::None);
    let delivery = email(&closed_port, Known::of(Language::Arabic));
    let failure = delivery.deliver(&notice).await.unwrap_err();
    assert!(
        failure.resumes_by_itself() && failure.to_string().contains("cannot be reached"),
        "{failure}"
    );

    let unreadable = EmailSettings {
        authorities: Some(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
        ),
        ..settings(port, EmailTls::Implicit)
    };
    let clock = Arc::new(SystemClock::real());
    assert!(Email::new(&unreadable, Known::of(Language::Arabic), clock).is_err());
}
