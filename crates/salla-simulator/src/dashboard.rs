//! The dashboard that frames the page of an app, as Salla's does: on another site, with a token,
//! a theme and a language behind the page's address (docs.salla.dev/embedded-sdk).
//!
//! `?shop=0&theme=dark&lang=en&frame=http://…`; without `frame` the scenario's is taken.

use crate::api::{ClientRequest, Response};
use crate::clock::SECOND;
use crate::locked;
use crate::platform::Platform;
use crate::scenario::Scenario;

/// It covers the page until that says that it is ready, answers its handshake, and loads it with
/// another token when it asks for one.
const SCRIPT: &str = r##"
const frame = document.querySelector("iframe");
const layout = { theme: document.body.dataset.theme, locale: document.documentElement.lang,
  dir: document.documentElement.dir, width: innerWidth, currency: "SAR" };
const heard = [];
function send(event, payload) {
  const message = { event, payload, timestamp: Date.now(), source: "merchant-dashboard" };
  frame.contentWindow.postMessage(message, new URL(frame.src).origin);
}
addEventListener("message", ({ source, data }) => {
  if (source !== frame.contentWindow) return;
  heard.push(data.event);
  if (data.event === "embedded::iframe.ready") send("embedded::context.provide", { layout });
  if (data.event === "embedded::page.setTitle") document.querySelector("h1").textContent = data.payload.title;
  if (data.event === "embedded::ready") document.querySelector("#cover").remove();
  if (data.event === "embedded::auth.refresh") location.reload();
});
document.querySelector("#theme").addEventListener("click", () => {
  layout.theme = layout.theme === "dark" ? "light" : "dark";
  document.body.dataset.theme = layout.theme;
  send("embedded::theme.change", { theme: layout.theme });
});
"##;

const STYLE: &str = "body{margin:0;font:14px sans-serif;display:grid;\
    grid-template:auto 1fr/180px 1fr;height:100vh;background:#eee}\
    body[data-theme=dark]{background:#111;color:#eee}\
    header{grid-column:1/3;padding:8px 16px;background:#004d5b;color:#fff;display:flex;gap:16px}\
    h1{font-size:16px;margin:0;flex:1}nav{padding:16px}.app{position:relative}\
    iframe{border:0;width:100%;height:100%}\
    #cover{position:absolute;inset:0;background:#fffd;display:grid;place-items:center}";

pub(crate) fn page(
    request: &ClientRequest,
    now: i64,
    platform: &Platform,
    scenario: &Scenario,
) -> Response {
    let query = &request.query;
    let embedded = &scenario.embedded;
    let app = crate::endpoint::Endpoint::of_path(&request.path)
        .1
        .unwrap_or("");
    let shop = usize::try_from(query.number("shop").unwrap_or(0)).unwrap_or(usize::MAX);
    let frame = query.get("frame").or(embedded.frame.as_deref());
    let (Some(_), Some(frame), true) = (platform.shop(shop), frame, app == embedded.app_id) else {
        return Response::not_found(request.language);
    };
    let theme = query.get("theme").filter(|theme| *theme == "dark");
    let theme = theme.unwrap_or("light");
    let lang = query.get("lang").filter(|lang| *lang == "en");
    let (lang, direction) = lang.map_or(("ar", "rtl"), |lang| (lang, "ltr"));
    let expires_at = now + embedded.token_seconds * SECOND;
    let token = locked(&platform.grants).dashboard_token(shop, app, expires_at);
    let parameters = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", &token)
        .append_pair("theme", theme)
        .append_pair("lang", lang)
        .append_pair("app_id", app)
        .finish();
    let separator = if frame.contains('?') { '&' } else { '?' };
    let source = format!("{frame}{separator}{parameters}");
    let source = source.replace('&', "&amp;").replace('"', "&quot;");
    Response::page(format!(
        "<!DOCTYPE html>\n<html lang=\"{lang}\" dir=\"{direction}\"><head><meta charset=\"utf-8\">\
         <title>Salla</title><style>{STYLE}</style></head><body data-theme=\"{theme}\">\
         <header><h1>…</h1><button id=\"theme\">◐</button></header><nav>سلة</nav>\
         <div class=\"app\"><iframe src=\"{source}\"></iframe><div id=\"cover\">…</div></div>\
         <script>{SCRIPT}</script></body></html>\n"
    ))
}
