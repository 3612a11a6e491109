//! The page on which a merchant sees the import and starts it: inside Salla's dashboard and, with
//! a cookie, on its own.
//!
//! Both are one script in two shells. Of all addresses only [`PATH`] may be framed, and only by
//! the dashboards that are configured.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::frame::Framed;
use crate::pages::{Page, escape};

/// The only address that may be framed.
pub const PATH: &str = "/embedded";

const SCRIPT: &str = include_str!("../assets/app.js");
const STYLE: &str = include_str!("../assets/app.css");

/// A page that runs one script of this server, connects only to this server, and treats no text as
/// HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'; \
     frame-ancestors";

/// Who may frame the page.
#[derive(Clone, Debug)]
pub struct EmbeddedDoor {
    /// Origins, as in `https://s.salla.sa`.
    pub ancestors: Vec<String>,
}

/// What the dashboard adds to the address. The token is for the script: this server does not read
/// it here.
#[derive(Deserialize)]
struct Parameters {
    lang: Option<String>,
    theme: Option<String>,
}

struct Shell<'a> {
    name: &'static str,
    ancestors: &'a [String],
    is_english: bool,
    theme: Option<&'static str>,
}

impl<'a> Shell<'a> {
    fn new(name: &'static str, ancestors: &'a [String], parameters: &Parameters) -> Self {
        let language = parameters.lang.as_deref().unwrap_or_default();
        Self {
            name,
            ancestors,
            is_english: language.to_ascii_lowercase().starts_with("en"),
            theme: match parameters.theme.as_deref() {
                Some("dark") => Some("dark"),
                Some("light") => Some("light"),
                _ => None,
            },
        }
    }

    fn html(&self) -> String {
        let (language, direction, title, no_script) = match self.is_english {
            true => (
                "en",
                "ltr",
                "Your shop's import",
                "This page needs JavaScript, which is turned off in your browser.",
            ),
            false => (
                "ar",
                "rtl",
                "استيراد بيانات متجرك",
                "تحتاج هذه الصفحة إلى JavaScript، وهو معطّل في متصفحك.",
            ),
        };
        let theme = self.theme.map(|theme| format!(" data-theme=\"{theme}\""));
        format!(
            "<!doctype html>\n<html lang=\"{language}\" dir=\"{direction}\"{}>\n<head>\n\
             <meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/assets/app.css\">\n\
             <script src=\"/assets/app.js\" defer></script>\n</head>\n\
             <body data-shell=\"{}\" data-dashboards=\"{}\">\n\
             <main id=\"app\" aria-busy=\"true\"><noscript><p>{no_script}</p></noscript></main>\n\
             </body>\n</html>\n",
            theme.unwrap_or_default(),
            self.name,
            escape(&self.ancestors.join(" ")),
        )
    }

    fn response(&self) -> Response {
        let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        let mut response = (html, self.html()).into_response();
        let ancestors = match self.ancestors {
            [] => "'none'".to_owned(),
            origins => origins.join(" "),
        };
        if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY} {ancestors}")) {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
            if !self.ancestors.is_empty() {
                // A dashboard that isolates itself loads only what allows it.
                headers.insert(
                    HeaderName::from_static("cross-origin-resource-policy"),
                    HeaderValue::from_static("cross-origin"),
                );
                response.extensions_mut().insert(Framed);
            }
        }
        response
    }
}

pub(crate) fn routes(door: Option<EmbeddedDoor>) -> Router {
    let assets = Router::new()
        .route(
            "/assets/app.js",
            get(async || asset("text/javascript", SCRIPT)),
        )
        .route("/assets/app.css", get(async || asset("text/css", STYLE)));
    match door {
        Some(door) => assets.merge(
            Router::new()
                .route(PATH, get(framed))
                .with_state(Arc::new(door)),
        ),
        None => assets.route(PATH, get(async || Page::NotOffered)),
    }
}

/// The same page without a frame, for merchants who have signed in with a cookie.
pub(crate) fn own_page() -> Router {
    Router::new().route("/app", get(own))
}

async fn framed(
    State(door): State<Arc<EmbeddedDoor>>,
    Query(parameters): Query<Parameters>,
) -> Response {
    Shell::new("embedded", &door.ancestors, &parameters).response()
}

async fn own(Query(parameters): Query<Parameters>) -> Response {
    let mut response = Shell::new("page", &[], &parameters).response();
    // Browsers that know no Sec-Fetch-Site name the origin of a page only where it has a referrer.
    let policy = HeaderValue::from_static("same-origin");
    response
        .headers_mut()
        .insert(header::REFERRER_POLICY, policy);
    response
}

fn asset(kind: &str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        // A new version of the program brings another script to the same address.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(lang: Option<&str>, theme: Option<&str>) -> String {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let parameters = Parameters {
            lang: text(lang),
            theme: text(theme),
        };
        let ancestors = ["https://s.salla.sa".to_owned()];
        Shell::new("embedded", &ancestors, &parameters).html()
    }

    #[test]
    fn the_page_is_arabic_unless_it_is_to_be_english() {
        for lang in [None, Some("ar"), Some("fr"), Some("\"><script>")] {
            let html = shell(lang, None);
            assert!(html.contains("<html lang=\"ar\" dir=\"rtl\">"), "{html}");
        }
        for lang in ["en", "en-US", "EN"] {
            let html = shell(Some(lang), Some("dark"));
            assert!(
                html.contains("<html lang=\"en\" dir=\"ltr\" data-theme=\"dark\">"),
                "{html}"
            );
        }
        assert!(!shell(None, Some("\" onload=\"")).contains("onload"));
    }

    #[test]
    fn no_script_and_no_style_stands_in_the_page() {
        let html = shell(None, None);
        assert!(
            !html.contains("<style") && !html.contains("style="),
            "{html}"
        );
        assert_eq!(html.matches("<script").count(), 1);
        assert!(
            html.contains("<script src=\"/assets/app.js\" defer></script>"),
            "{html}"
        );
    }

    #[test]
    fn only_the_dashboards_may_frame_it() {
        let parameters = Parameters {
            lang: None,
            theme: None,
        };
        let policy = |ancestors: &[String]| {
            let response = Shell::new("embedded", ancestors, &parameters).response();
            let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
            let is_framed = response.extensions().get::<Framed>().is_some();
            (policy.to_str().unwrap().to_owned(), is_framed)
        };
        let (framed, is_framed) = policy(&["https://s.salla.sa".to_owned()]);
        assert!(
            framed.ends_with("frame-ancestors https://s.salla.sa") && is_framed,
            "{framed}"
        );
        let (own, is_framed) = policy(&[]);
        assert!(
            own.ends_with("frame-ancestors 'none'") && !is_framed,
            "{own}"
        );
    }

    /// The script builds the page from texts; a word that one language lacks would be shown as
    /// `undefined`.
    #[test]
    fn both_languages_have_the_same_words() {
        let names = |language: &str| {
            let start = SCRIPT.find(&format!("\n  {language}: {{\n")).unwrap();
            let block = &SCRIPT[start..];
            let block = &block[..block.find("\n  },").unwrap()];
            let lines = block
                .lines()
                .filter_map(|line| line.trim().split_once(": "));
            lines
                .map(|(name, _)| name.to_owned())
                .skip(1)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("ar"), names("en"));
        assert!(names("en").len() > 20);
        for dangerous in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(dangerous), "{dangerous}");
        }
    }
}
