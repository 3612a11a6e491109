//! One notice as a message: headers, a text and the same as HTML.

use std::time::SystemTime;

use domain::contact::Contact;
use domain::failure::Failure;
use importer::ports::notifications::Notice;
use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use url::Url;

use super::words::Letter;

/// Automatic answers are not sent to it (RFC 3834).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
const CONTENT_LANGUAGE: HeaderName = HeaderName::new_from_ascii_str("Content-Language");

pub(super) fn compose(
    notice: &Notice,
    contact: &Contact,
    from: &Mailbox,
    sign_in: &Url,
    now: Timestamp,
) -> Result<Message, Failure> {
    let unfit = |what: &str| Failure::Broken {
        what: format!("email: {what}"),
    };
    let address = contact.address.as_str().parse();
    let address =
        address.map_err(|_| unfit("the shop's address is none that can be written to"))?;
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
        .map_err(|_| unfit("the message could not be put together"))
}
