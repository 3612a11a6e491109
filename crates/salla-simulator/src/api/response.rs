//! A response before it goes out, and the error bodies of Salla (docs.salla.dev/421123m0).

use crate::json::Language;
use crate::scenario::Quirks;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) headers: Vec<(&'static str, String)>,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const HTML: &str = "text/html; charset=UTF-8";

impl Response {
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: JSON,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// A page as a proxy in front of Salla would send it.
    pub(crate) fn html(status: u16, title: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{status} {title}</title></head>\
             <body><center><h1>{status} {title}</h1></center><hr><center>cloudflare</center></body></html>\n"
        );
        Self {
            content_type: HTML,
            ..Self::json(status, body)
        }
    }

    pub(crate) fn page(html: String) -> Self {
        Self {
            content_type: HTML,
            ..Self::json(200, html)
        }
    }

    /// A line as a load balancer would send it.
    pub(crate) fn text(status: u16) -> Self {
        let line = match status {
            502 => "Bad Gateway",
            503 => "upstream connect error or disconnect/reset before headers",
            504 => "upstream request timeout",
            _ => "error",
        };
        Self {
            content_type: TEXT,
            ..Self::json(status, line)
        }
    }

    /// The same with a damaged text: the first name there is, or an undocumented member of the
    /// first record.
    pub(crate) fn damaged(mut self, quirks: Quirks) -> Self {
        let begin: &[u8] = match quirks.damage_spares_names {
            false => b"name\":\"",
            true => b"{\"id\":",
        };
        let found = self
            .body
            .windows(begin.len())
            .position(|bytes| bytes == begin);
        let (Some(damage), Some(at)) = (quirks.damaged_texts, found) else {
            return self;
        };
        let (before, after) = self.body.split_at(at + begin.len());
        self.body = match quirks.damage_spares_names {
            false => [before, damage.bytes(), after].concat().into(),
            true => {
                let before = &before[..at + 1];
                let remark = [b"\"remark\":\"", damage.bytes(), b"\","].concat();
                [before, &remark, b"\"id\":", after].concat().into()
            }
        };
        self
    }

    /// The same as a server sends it that compresses what it can.
    pub(crate) fn compressed(mut self, gzip: bool) -> Self {
        if !gzip || self.status != 200 {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder
            .write_all(&self.body)
            .and_then(|()| encoder.finish());
        // Nothing that is written to memory fails.
        if let Ok(body) = written {
            self.body = body.into();
            self.headers.push(("content-encoding", "gzip".to_owned()));
        }
        self
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::json(status, Bytes::new())
    }

    pub(crate) fn redirect(location: String) -> Self {
        let mut response = Self::empty(302);
        response.headers.push(("location", location));
        response
    }

    /// An error in the usual envelope; `code` is JSON already.
    fn error(status: u16, code: &str, message: &str) -> Self {
        let message = serde_json::Value::from(message);
        Self::json(
            status,
            format!(
                r#"{{"status":{status},"success":false,"error":{{"code":{code},"message":{message}}}}}"#
            ),
        )
    }

    pub(crate) fn invalid_token() -> Self {
        Self::error(401, r#""Unauthorized""#, "The access token is invalid")
    }

    /// The token of a dashboard that is unknown, over, or another app's.
    pub(crate) fn refused_introspection(status: u16) -> Self {
        match status {
            422 => Self::invalid_field("token", "token is not valid"),
            status => Self::error(status, r#""Unauthorized""#, "token is not valid"),
        }
    }

    /// A missing scope is a 401 and not a 403, of all things.
    pub(crate) fn missing_scope(scope: &str) -> Self {
        let message =
            format!("The access token should have access to one of those scopes: {scope}");
        Self::error(401, r#""Unauthorized""#, &message)
    }

    pub(crate) fn inactive_account() -> Self {
        Self::error(
            401,
            r#""Unauthorized""#,
            "عفوا لا يمكنك تسجيل الدخول, حسابك غير مفعل",
        )
    }

    /// The 404 of single orders: a number as code, `success` before `status`.
    pub(crate) fn gone() -> Self {
        Self::json(
            404,
            r#"{"success":false,"status":404,"error":{"code":404,"message":"The content you are trying to access is no longer available"}}"#,
        )
    }

    /// The 404 of everything else: a word as code, in the reader's language.
    pub(crate) fn not_found(language: Language) -> Self {
        let message = match language {
            Language::Arabic => "المحتوى الذي تحاول الوصول اليه غير متوفر",
            Language::English => "The content you are trying to access is no longer available",
        };
        Self::error(404, r#""error""#, message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::error(
            405,
            r#""method_not_allowed""#,
            "The method is not supported for this route",
        )
    }

    pub(crate) fn invalid_field(field: &str, message: &str) -> Self {
        let message = serde_json::Value::from(message);
        Self::json(
            422,
            format!(
                r#"{{"status":422,"success":false,"error":{{"code":"error","message":"alert.invalid_fields","fields":{{"{field}":[{message}]}}}}}}"#
            ),
        )
    }

    /// The 400 of Salla's pages: a number as code and an Arabic message.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self::error(400, "400", message)
    }

    pub(crate) fn too_many_requests() -> Self {
        Self::error(429, r#""too_many_requests""#, "Too Many Attempts.")
    }

    pub(crate) fn blocked() -> Self {
        Self::error(
            403,
            r#""error""#,
            "Your access has been temporarily blocked",
        )
    }

    /// A response that only says that something went wrong on the other side.
    pub(crate) fn server_error(status: u16, language: Language) -> Self {
        match status {
            401 => Self::invalid_token(),
            404 => Self::not_found(language),
            429 => Self::too_many_requests(),
            403 => Self::blocked(),
            502 => Self::html(502, "Bad Gateway"),
            504 => Self::html(504, "Gateway Timeout"),
            503 => Self::error(503, r#""service_unavailable""#, "Service Unavailable"),
            _ => Self::error(status, r#""server_error""#, "Server Error"),
        }
    }

    /// An OAuth error, which has no envelope.
    pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Self {
        let description = serde_json::Value::from(description);
        Self::json(
            status,
            format!(r#"{{"error":"{error}","error_description":{description}}}"#),
        )
    }

    pub(crate) fn with(mut self, headers: Vec<(&'static str, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}
