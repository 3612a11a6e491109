//! What a merchant has typed into the app's settings or its onboarding step at Salla.
//!
//! Salla's sources show one form of the first and none of the second, so a setting is looked for
//! by its name wherever it stands: as a member, or as an entry of a list that names it.

use secrecy::SecretString;
use serde_json::Value;

/// How deep settings may lie.
const MAX_DEPTH: usize = 6;
/// Members that name an entry of a list.
const NAMES: [&str; 5] = ["slug", "key", "name", "id", "field"];
/// No code comes near this.
const MAX_CODE: usize = 100;

#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) code: Option<SecretString>,
    pub(super) depth_months: Option<u64>,
}

pub(super) fn read(data: &str) -> Settings {
    let Ok(data) = serde_json::from_str::<Value>(data) else {
        return Settings::default();
    };
    let text = |name| find(&data, name, 0).and_then(scalar);
    let code = text("connectcode").filter(|code| (1..=MAX_CODE).contains(&code.len()));
    Settings {
        code: code.map(SecretString::from),
        depth_months: text("syncdepthmonths").and_then(|text| months(&text)),
    }
}

/// Without what writers of forms choose as they like.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.collect::<String>().to_ascii_lowercase()
}

fn find<'a>(value: &'a Value, wanted: &str, depth: usize) -> Option<&'a Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Object(members) => {
            let named = members.iter().find(|(name, value)| {
                plain(name) == wanted && !value.is_object() && !value.is_array()
            });
            let is_entry = NAMES.iter().any(|name| {
                let name = members.get(*name).and_then(Value::as_str);
                name.is_some_and(|name| plain(name) == wanted)
            });
            let of_entry = is_entry.then(|| members.get("value")).flatten();
            let deeper = || {
                members
                    .values()
                    .find_map(|value| find(value, wanted, depth + 1))
            };
            named.map(|(_, value)| value).or(of_entry).or_else(deeper)
        }
        Value::Array(entries) => entries
            .iter()
            .find_map(|entry| find(entry, wanted, depth + 1)),
        _ => None,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        // A list of one, as choices come.
        Value::Array(entries) => entries.first().and_then(scalar),
        _ => None,
    }
}

/// Choices may carry their unit, as in `12 months`.
fn months(text: &str) -> Option<u64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn found(data: &str) -> (Option<String>, Option<u64>) {
        let settings = read(data);
        let code = settings.code.map(|code| code.expose_secret().to_owned());
        (code, settings.depth_months)
    }

    #[test]
    fn settings_are_found_wherever_they_stand() {
        let both = (Some("ABCD-EFGH".to_owned()), Some(24));
        for data in [
            r#"{"settings":{"connect_code":"ABCD-EFGH","syncDepthMonths":24}}"#,
            r#"{"settings":{"connectCode":" ABCD-EFGH ","sync_depth_months":"24"}}"#,
            r#"{"connect-code":"ABCD-EFGH","SYNC-DEPTH-MONTHS":"24 months"}"#,
            r#"{"fields":[{"slug":"connect_code","value":"ABCD-EFGH"},
                {"slug":"syncDepthMonths","value":24}]}"#,
            r#"{"step":{"inputs":[{"key":"connectCode","value":"ABCD-EFGH"},
                {"name":"sync_depth_months","value":["24"]}]}}"#,
        ] {
            assert_eq!(found(data), both, "{data}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for data in [
            "{}",
            r#"{"settings":[]}"#,
            r#"{"settings":{"connect_code":"","other":"12"}}"#,
            r#"{"settings":{"connect_code":null,"syncDepthMonths":true}}"#,
            r#"{"settings":{"connect_code":{"a":1}}}"#,
        ] {
            assert_eq!(found(data), (None, None), "{data}");
        }
        let deep = format!("{}{}", r#"{"a":"#.repeat(60), "}".repeat(60));
        assert_eq!(found(&deep), (None, None));
        let long = format!(r#"{{"connect_code":"{}"}}"#, "A".repeat(101));
        assert_eq!(found(&long), (None, None));
    }
}
