//! The pages that a merchant sees: plain, whole, in Arabic and English.

mod words;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use words::Words;

/// What a merchant is shown of a consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "page", rename_all = "snake_case")]
pub enum Page {
    Connected {
        shop: String,
        imports: bool,
        /// Salla's id of the shop.
        #[serde(default)]
        salla_id: Option<i64>,
    },
    AlreadyConnected {
        shop: String,
        #[serde(default)]
        salla_id: Option<i64>,
    },
    Denied,
    /// The install began elsewhere, so it begins again here.
    BeginHere,
    Suspicious,
    Expired,
    /// The same page is being worked on already.
    Busy,
    CodeRefused,
    SallaAway,
    /// The tokens are stored, and what is left is done without the merchant.
    Pending,
    Scopes,
    Outdated,
    OtherShop,
    /// The shop is connected, and stays with the account that has it.
    OtherAccount,
    /// An opened link; its button uses it.
    Link,
    LinkOver,
    /// The browser continues to Salla's consent.
    ToSalla,
    TooMany,
    /// Something that the operator must fix.
    Failed,
    Unreadable,
    NotOffered,
}

/// Where a page leads to and what it says about that, in Arabic and in English.
type Action = [(&'static str, &'static str); 2];

const START_AGAIN: Action = [
    ("/connect", "ابدأ الربط من جديد"),
    ("/connect", "Connect your shop"),
];
const FOLLOW: Action = [
    ("/app", "تابع الاستيراد"),
    ("/app?lang=en", "Follow the import"),
];

impl Page {
    fn status(&self) -> StatusCode {
        match self {
            Self::Connected { .. }
            | Self::AlreadyConnected { .. }
            | Self::Denied
            | Self::BeginHere
            | Self::Busy
            | Self::Pending
            | Self::Outdated => StatusCode::OK,
            Self::Link | Self::ToSalla => StatusCode::OK,
            Self::LinkOver => StatusCode::GONE,
            Self::OtherAccount => StatusCode::CONFLICT,
            Self::Suspicious | Self::Scopes | Self::OtherShop => StatusCode::FORBIDDEN,
            Self::Expired | Self::CodeRefused | Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::SallaAway => StatusCode::BAD_GATEWAY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotOffered => StatusCode::NOT_FOUND,
        }
    }

    fn action(&self) -> Option<Action> {
        match self {
            Self::Denied
            | Self::BeginHere
            | Self::Suspicious
            | Self::Expired
            | Self::CodeRefused
            | Self::SallaAway
            | Self::Unreadable
            | Self::Failed
            | Self::Scopes => Some(START_AGAIN),
            Self::Connected { .. } | Self::AlreadyConnected { .. } => Some(FOLLOW),
            Self::Busy
            | Self::TooMany
            | Self::OtherAccount
            | Self::Link
            | Self::LinkOver
            | Self::ToSalla
            | Self::Pending
            | Self::Outdated
            | Self::OtherShop
            | Self::NotOffered => None,
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let action = self.action();
        let (arabic, english) = (self.arabic(), self.english());
        let body = format!(
            "<!doctype html>\n<html lang=\"ar\" dir=\"rtl\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{} · {}</title>\n<link rel=\"stylesheet\" href=\"/assets/pages.css\">\n\
             </head>\n<body>\n<main>\n{}{}</main>\n</body>\n</html>\n",
            escape(&arabic.title),
            escape(&english.title),
            section("ar", "rtl", &arabic, action.map(|[arabic, _]| arabic)),
            section("en", "ltr", &english, action.map(|[_, english]| english)),
        );
        let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        (self.status(), html, body).into_response()
    }
}

fn section(language: &str, direction: &str, words: &Words, action: Option<(&str, &str)>) -> String {
    let texts = words.texts.iter();
    let texts: String = texts
        .map(|text| format!("<p>{}</p>\n", escape(text)))
        .collect();
    let button = words.button.map_or_else(String::new, |label| {
        format!(
            "<form method=\"post\"><button class=\"action\">{}</button></form>\n",
            escape(label)
        )
    });
    let action = action.map_or_else(String::new, |(to, label)| {
        format!(
            "<p><a class=\"action\" href=\"{to}\">{}</a></p>\n",
            escape(label)
        )
    });
    format!(
        "<section lang=\"{language}\" dir=\"{direction}\">\n<h1>{}</h1>\n{texts}{action}{button}</section>\n",
        escape(&words.title),
    )
}

/// Text from outside as text in HTML, between tags or in quotes. Names of shops may hold marks
/// that change the direction of writing; what surrounds them must not follow.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

const STYLE: &str = "\
body { margin: 0; background: #f8f8f8; color: #1d1e20;
  font: 16px/1.7 \"IBM Plex Sans Arabic\", system-ui, sans-serif; }
main { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
section { background: #fff; border-radius: 8px; padding: 1.5rem 2rem; margin-block-end: 1rem;
  text-align: start; }
h1 { font-size: 1.4rem; margin-block: 0 .5rem; color: #004d5b; }
p { margin-block: .5rem; }
.action { display: inline-block; background: #004d5b; color: #fff; padding: .5rem 1.25rem;
  border: 0; border-radius: 6px; text-decoration: none; font: inherit; cursor: pointer; }
.action:focus-visible { outline: 3px solid #00b259; outline-offset: 2px; }
@media (prefers-color-scheme: dark) {
  body { background: #1d1e20; color: #f8f8f8; }
  section { background: #2a2b2e; }
  h1 { color: #baefe3; }
  .action { background: #baefe3; color: #1d1e20; }
}
";

pub(crate) fn routes() -> Router {
    let style = async || {
        let headers = [
            (header::CONTENT_TYPE, "text/css; charset=utf-8"),
            (header::CACHE_CONTROL, "public, max-age=3600"),
        ];
        (headers, STYLE)
    };
    Router::new().route("/assets/pages.css", get(style))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn() -> Vec<Page> = || {
        let shop = || "متجر <b>&\"النخلة\"</b> 🌴\u{202e}".to_owned();
        vec![
            Page::Connected {
                shop: shop(),
                imports: true,
                salla_id: Some(1_305_146_709),
            },
            Page::Connected {
                shop: shop(),
                imports: false,
                salla_id: None,
            },
            Page::AlreadyConnected {
                shop: shop(),
                salla_id: None,
            },
            Page::Denied,
            Page::BeginHere,
            Page::Suspicious,
            Page::Expired,
            Page::Busy,
            Page::CodeRefused,
            Page::SallaAway,
            Page::Pending,
            Page::Scopes,
            Page::Outdated,
            Page::OtherShop,
            Page::TooMany,
            Page::OtherAccount,
            Page::Link,
            Page::LinkOver,
            Page::ToSalla,
            Page::Failed,
            Page::Unreadable,
            Page::NotOffered,
        ]
    };

    async fn html(page: Page) -> String {
        let body = page.into_response().into_body();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[tokio::test]
    async fn every_page_is_whole_and_in_both_languages() {
        let mut titles = Vec::new();
        for page in ALL() {
            let english = page.english();
            assert!(!titles.contains(&english.texts), "{}", english.title);
            titles.push(english.texts);
            let text = html(page).await;
            assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"));
            for part in [
                "<html lang=\"ar\" dir=\"rtl\">",
                "lang=\"en\" dir=\"ltr\"",
                "<title>",
            ] {
                assert!(text.contains(part), "{text}");
            }
            assert!(
                !text.contains("<b>") && !text.contains('\u{202e}'),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn names_of_shops_are_text() {
        let shop = "متجر <script>alert('1')</script> 🌴".to_owned();
        let text = html(Page::AlreadyConnected {
            shop,
            salla_id: None,
        })
        .await;
        assert!(text.contains("متجر &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; 🌴"));
    }

    #[test]
    fn what_was_shown_can_be_stored() {
        for page in ALL() {
            let text = serde_json::to_string(&page).unwrap();
            assert_eq!(serde_json::from_str::<Page>(&text).unwrap(), page);
        }
    }
}
