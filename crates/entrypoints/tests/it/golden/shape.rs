//! The names in a JSON value, without what it says.

use std::collections::BTreeSet;

use serde_json::Value;

/// Members whose own members are named by what was counted.
const MAPS: [&str; 6] = [
    "months",
    "months.*",
    "by_endpoint",
    "by_status",
    "avoidable_pages",
    "repeated_details",
];

/// The paths of everything in a value; `[]` is any entry of a list, `*` any of a map.
#[derive(Default)]
pub(super) struct Shape(BTreeSet<String>);

impl Shape {
    pub(super) fn add(&mut self, path: &str, value: &Value) {
        self.0.insert(path.to_owned());
        match value {
            Value::Array(entries) => {
                for entry in entries {
                    self.add(&format!("{path}[]"), entry);
                }
            }
            Value::Object(members) => {
                let is_map = MAPS.iter().any(|map| path.ends_with(&format!(".{map}")));
                for (name, member) in members {
                    let name = if is_map { "*" } else { name };
                    self.add(&format!("{path}.{name}"), member);
                }
            }
            _ => {}
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|path| writeln!(f, "{path}"))
    }
}
