//! Names of members, as far as they can be nobody's data.

use serde_json::Value;

/// More names than this say nothing more about a shape.
const MOST_NAMES: usize = 60;

/// The names of an object's members, sorted. A name that does not look like one of an
/// API is only counted: some objects are keyed by what people have typed.
pub(super) fn names(value: &Value) -> String {
    let Some(members) = value.as_object() else {
        return format!("not an object but {}", kind(value));
    };
    let mut known: Vec<&str> = members
        .keys()
        .map(String::as_str)
        .filter(|name| is_name(name))
        .collect();
    known.sort_unstable();
    known.truncate(MOST_NAMES);
    let others = members.len() - known.len();
    let mut text = known.join(", ");
    if others > 0 {
        text.push_str(&format!(" and {others} more"));
    }
    text
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-')
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_may_have_typed_are_counted_only() {
        let value = serde_json::json!({
            "id": 1, "user-agent": 2, "اللون": 3, "someone@example.com": 4, "0501234567": 5,
            "Noura": 6
        });
        assert_eq!(names(&value), "id, user-agent and 4 more");
        assert_eq!(names(&serde_json::json!([1])), "not an object but a list");
    }
}
