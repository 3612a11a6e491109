//! Choices about apps whose page is inside the dashboard (docs.salla.dev/embedded-sdk).

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    /// The app's number, part of the dashboard's address.
    pub app_id: String,
    /// The app's page, as it is registered.
    pub frame: Option<String>,
    /// How long a token counts that the page is given.
    pub token_seconds: i64,
    /// The status of a refused introspection: the docs say 401, an integrator saw 422.
    pub refusal_status: u16,
}

impl Default for Embedded {
    fn default() -> Self {
        Self {
            app_id: "1234567890".to_owned(),
            frame: None,
            token_seconds: 300,
            refusal_status: 401,
        }
    }
}
