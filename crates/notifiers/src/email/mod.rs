//! E-mail to merchants over SMTP.
//!
//! **Promise.** A notice is sent once, unless the server has taken it and that was not learned: its
//! response was lost, or the process died before it was written down. Then it is sent again under
//! the same `Message-ID`, which mail servers and readers know duplicates by. SMTP knows no better.

mod words;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use domain::contact::Contact;
use domain::failure::Failure;
use domain::notification::Audience;
use importer::ports::clock::{Clock, with_timeout};
use importer::ports::contacts::Contacts;
use importer::ports::notifications::{Notice, Notifier};
use jiff::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use words::Letter;

/// For one response of the server.
const TIMEOUT: Duration = Duration::from_secs(20);
/// For the whole conversation; shorter than the lease of its message.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How the way to the server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailTls {
    /// From the first byte, as on port 465.
    Implicit,
    /// The server has to offer STARTTLS, as on port 587.
    StartTls,
    None,
}

/// Who e-mails are from, as readers see it: `Name <address>` or an address alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(Mailbox);

impl Sender {
    pub fn parse(text: &str) -> Option<Self> {
        // A header has one line.
        let is_plain = !text.chars().any(domain::contact::is_invisible);
        let mailbox: Mailbox = text.parse().ok()?;
        (is_plain && mailbox.email.domain().contains('.')).then_some(Self(mailbox))
    }
}

pub struct EmailSettings {
    pub host: String,
    pub port: u16,
    pub tls: EmailTls,
    /// User and password.
    pub credentials: Option<(String, SecretString)>,
    /// Certificates to trust beside the public ones, in PEM.
    pub authorities: Option<Vec<u8>>,
    pub from: Sender,
    /// Where merchants sign in; every e-mail leads there.
    pub sign_in: Url,
}

impl std::fmt::Debug for EmailSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmailSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// A mail server that takes notifications for merchants.
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
    from: Mailbox,
    sign_in: Url,
    contacts: Arc<dyn Contacts>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Email {
    /// Connects to nothing yet. Fails where the authorities are no certificates.
    pub fn new(
        settings: &EmailSettings,
        contacts: Arc<dyn Contacts>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let domain = settings.from.0.email.domain().to_owned();
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host.clone())
                .port(settings.port)
                .tls(tls(settings)?)
                .hello_name(ClientId::Domain(domain))
                .timeout(Some(TIMEOUT));
        let builder = match &settings.credentials {
            Some((user, password)) => builder
                .credentials(Credentials::new(
                    user.clone(),
                    password.expose_secret().to_owned(),
                ))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]),
            None => builder,
        };
        Ok(Self {
            transport: builder.build(),
            host: settings.host.clone(),
            from: settings.from.0.clone(),
            sign_in: settings.sign_in.clone(),
            contacts,
            clock,
        })
    }

    fn failure(&self, error: &SmtpError) -> Failure {
        let what = format!("email to {}: {}", self.host, said(error));
        match is_lasting(error) {
            true => Failure::Broken { message: what },
            false => Failure::Transient { message: what },
        }
    }
}

fn tls(settings: &EmailSettings) -> Result<Tls, Failure> {
    if settings.tls == EmailTls::None {
        return Ok(Tls::None);
    }
    let unusable = |error: SmtpError| Failure::Broken {
        message: format!("the certificates for {}: {error}", settings.host),
    };
    let mut parameters = TlsParameters::builder(settings.host.clone());
    if let Some(pem) = &settings.authorities {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem).map_err(unusable)?);
    }
    let parameters = parameters.build_rustls().map_err(unusable)?;
    Ok(match settings.tls {
        EmailTls::Implicit => Tls::Wrapper(parameters),
        EmailTls::StartTls | EmailTls::None => Tls::Required(parameters),
    })
}

/// Whether the same message would be refused again until the address, the settings or the server
/// change.
fn is_lasting(error: &SmtpError) -> bool {
    error.is_permanent() || error.is_client() || error.is_tls() || is_about_a_certificate(error)
}

fn is_about_a_certificate(error: &SmtpError) -> bool {
    error.to_string().contains("certificate")
}

/// What happened, in our words: servers repeat addresses in their responses.
fn said(error: &SmtpError) -> String {
    if let Some(code) = error.status() {
        let text = error.to_string();
        let enhanced = text.split_whitespace().find(|word| is_enhanced(word));
        let enhanced = enhanced.map_or_else(String::new, |code| format!(" {code}"));
        return format!("it responded with {code}{enhanced}");
    }
    let said = if is_about_a_certificate(error) {
        "its certificate is not trusted, or is for another name (SALLA_SYNC_SMTP_CA_FILE)"
    } else if error.is_timeout() {
        "it did not respond in time"
    } else if error.is_client() || error.is_tls() {
        "it offers no TLS, or no supported way to sign in"
    } else if error.is_response() {
        "it closed the connection or uses another protocol"
    } else {
        "it cannot be reached"
    };
    said.to_owned()
}

/// A code as in RFC 3463, such as `5.1.1`.
fn is_enhanced(word: &str) -> bool {
    let fields: Vec<&str> = word.split('.').collect();
    let is_number = |field: &&str| {
        (1..=3).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_digit())
    };
    fields.len() == 3 && matches!(fields[0], "2" | "4" | "5") && fields.iter().all(is_number)
}

#[async_trait]
impl Notifier for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn audience(&self) -> Audience {
        Audience::Merchant
    }

    /// Also succeeds where no e-mail is wanted.
    async fn deliver(&self, notice: &Notice) -> Result<(), Failure> {
        let settings = self.contacts.contact_of(notice.shop.merchant).await?;
        let Some(contact) = settings.contact() else {
            tracing::info!(
                merchant_id = %notice.shop.merchant, run_id = %notice.run,
                "no e-mail is sent: the shop has no address, or wants none"
            );
            return Ok(());
        };
        let (now, from) = (self.clock.now(), &self.from);
        let message = compose(notice, &contact, from, &self.sign_in, now)?;
        let sending = self.transport.send(message);
        match with_timeout(self.clock.as_ref(), WHOLE_TIMEOUT, sending).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.failure(&error)),
            None => Err(Failure::Transient {
                message: format!("email to {}: it did not respond in time", self.host),
            }),
        }
    }
}

/// Automatic answers are not sent to it (RFC 3834).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
const CONTENT_LANGUAGE: HeaderName = HeaderName::new_from_ascii_str("Content-Language");

/// One notice as a message: headers, a text and the same as HTML.
fn compose(
    notice: &Notice,
    contact: &Contact,
    from: &Mailbox,
    sign_in: &Url,
    now: Timestamp,
) -> Result<Message, Failure> {
    let unfit = |what: &str| Failure::Broken {
        message: format!("email: {what}"),
    };
    let address = contact.address.as_str().parse();
    let address = address.map_err(|_| unfit("the shop's address is not valid for e-mail"))?;
    let letter = Letter::new(notice, contact.language, sign_in);
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, address))
        .subject(letter.subject.clone())
        // The same however often it is sent: duplicates are known by it.
        .message_id(Some(format!("<{}@{}>", notice.id, from.email.domain())))
        .date(SystemTime::from(now))
        .raw_header(HeaderValue::new(
            AUTO_SUBMITTED,
            "auto-generated".to_owned(),
        ))
        .raw_header(HeaderValue::new(
            CONTENT_LANGUAGE,
            contact.language.as_str().to_owned(),
        ))
        .multipart(MultiPart::alternative_plain_html(
            letter.text(),
            letter.html(),
        ))
        .map_err(|_| unfit("the message could not be created"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        for text in [
            "Sync <sync@example.com>",
            "sync@example.com",
            "متجر <sync@example.com>",
        ] {
            assert!(Sender::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "Sync",
            "sync@localhost",
            "Sync <sync@example.com>\r\nBcc: x@example.com",
            "a@example.com, b@example.com",
        ] {
            assert!(Sender::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn of_an_answer_only_codes_are_repeated() {
        for word in ["5.1.1", "4.7.0", "2.0.0", "5.10.123"] {
            assert!(is_enhanced(word), "{word}");
        }
        for word in [
            "5.1", "5.1.1.1", "127.0.0", "5.1.1234", "5.x.1", "a@b.c.d", "9.1.1",
        ] {
            assert!(!is_enhanced(word), "{word}");
        }
    }
}
