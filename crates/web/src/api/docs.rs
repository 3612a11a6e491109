//! The API for people, rendered from its description: no script, nothing from elsewhere.

use axum::http::{HeaderName, header};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::pages::escape;

pub(super) type DocsPage = ([(HeaderName, &'static str); 1], String);

pub(super) fn page(document: &OpenApi) -> DocsPage {
    let document = serde_json::to_value(document).unwrap_or_default();
    let mut body = String::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            body.push_str(&operation_section(method, path, operation));
        }
    }
    body.push_str("<h2>Types</h2>\n");
    let schemas = document["components"]["schemas"].as_object();
    for (name, schema) in schemas.into_iter().flatten() {
        body.push_str(&schema_section(name, schema));
    }
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>salla-sync API</title>\n<link rel=\"stylesheet\" href=\"/assets/pages.css\">\n\
         </head>\n<body>\n<main>\n<h1>salla-sync API</h1>\n<p>{}</p>\n<p>For programs: \
         <a href=\"/openapi.json\">/openapi.json</a>. Requests carry \
         <code>Authorization: Bearer sst_…</code>.</p>\n{body}</main>\n</body>\n</html>\n",
        text(&document["info"]["description"]),
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn operation_section(method: &str, path: &str, operation: &Value) -> String {
    let mut section = format!(
        "<section>\n<h2 id=\"{}\"><code>{} {}</code></h2>\n<p><strong>{}</strong></p>\n<p>{}</p>\n",
        text(&operation["operationId"]),
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"]),
        text(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array();
    let parameters: Vec<String> = parameters
        .into_iter()
        .flatten()
        .map(|parameter| {
            let (name, description) = (text(&parameter["name"]), text(&parameter["description"]));
            format!("<li><code>{name}</code> {description}</li>\n")
        })
        .collect();
    if !parameters.is_empty() {
        section.push_str(&format!(
            "<p>Parameters</p>\n<ul>\n{}</ul>\n",
            parameters.concat()
        ));
    }
    let request = &operation["requestBody"]["content"];
    if !request.is_null() {
        section.push_str(&format!("<p>Body: {}</p>\n", content(request)));
    }
    section.push_str("<p>Responses</p>\n<ul>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        section.push_str(&format!(
            "<li><code>{}</code> {} {}</li>\n",
            escape(status),
            content(&response["content"]),
            text(&response["description"]),
        ));
    }
    section + "</ul>\n</section>\n"
}

/// The type of a body, as a link.
fn content(content: &Value) -> String {
    let first = content.as_object().and_then(|types| types.values().next());
    first.map_or_else(String::new, |media| type_of(&media["schema"]))
}

fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|link| link.rsplit('/').next())
    {
        let name = escape(name);
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    let either = schema["oneOf"].as_array().into_iter().flatten();
    let named = either.map(type_of).filter(|name| !name.is_empty());
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        return named.join(" or ");
    }
    if schema["type"] == "array" {
        return format!("list of {}", type_of(&schema["items"]));
    }
    match &schema["type"] {
        Value::String(name) => escape(name),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn schema_section(name: &str, schema: &Value) -> String {
    let name = escape(name);
    let mut section = format!(
        "<section>\n<h3 id=\"type-{name}\">{name}</h3>\n<p>{}</p>\n<ul>\n",
        text(&schema["description"]),
    );
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        section.push_str(&format!(
            "<li><code>{}</code> ({}) {}</li>\n",
            escape(field),
            type_of(property),
            text(&property["description"]),
        ));
    }
    section + "</ul>\n</section>\n"
}
