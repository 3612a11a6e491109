//! Choices about tokens and the state of shops (docs.salla.dev/421118m0).

use super::Fault;
use serde::{Deserialize, Serialize};

const SCOPES: &str =
    "settings.read orders.read customers.read products.read categories.read offline_access";

with_defaults! {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Oauth {
        pub access_token_seconds: i64 = 1_209_599,
        /// An access token also expires after this many requests, if given.
        pub access_token_requests: Option<u64>,
        pub refresh_token_seconds: i64 = 30 * 86_400,
        pub lifetime_field: LifetimeField,
        /// In place of the lifetime of each token answer, as JSON members such as
        /// `"expires_in":0,"expires":null`; empty for a response that says nothing of it.
        pub lifetime_members: Option<String>,
        /// Every refresh is carried out and its response lost.
        pub lose_refresh_answers: bool,
        /// What becomes of every request for tokens, while this is set.
        pub token_fault: Option<Fault>,
        /// A refresh is answered without the new refresh token.
        pub omit_refresh_token: bool,
        /// The status of `invalid_grant`: the docs say 401, integrators saw 400.
        pub invalid_grant_status: u16 = 401,
        /// The error code for a used, expired or unknown token: Ory Hydra has more than one.
        pub invalid_grant_code: String = "invalid_grant".to_owned(),
        /// Whether `/oauth2/user/info` wraps its response in `data`.
        pub user_info_in_data: bool = true,
        /// What the merchant does who is asked to consent.
        pub consent: Consent,
        /// What the user has granted; checked at every request.
        pub scopes: Vec<String> = SCOPES.split(' ').map(str::to_owned).collect(),
    }
}

/// What comes of `GET /oauth2/auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    #[default]
    Approved,
    Denied,
    /// A page with two links, one for each.
    Page,
}

/// The name and unit of a token's lifetime, on which Salla's own pages differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifetimeField {
    /// `expires_in`: seconds.
    #[default]
    ExpiresIn,
    /// `expires`: seconds, as in the exchange example.
    ExpiresSeconds,
    /// `expires`: epoch seconds, as in the webhook.
    ExpiresEpoch,
}

/// Whether the shops of the platform can be read at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShopState {
    #[default]
    Active,
    /// The merchant's account is not active: 401 with an Arabic message.
    Inactive,
    /// The app was removed: every token is invalid.
    Uninstalled,
}

with_defaults! {
    /// Choices about apps whose page is inside the dashboard (docs.salla.dev/embedded-sdk).
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Embedded {
        /// The app's number, part of the dashboard's address.
        pub app_id: String = "1234567890".to_owned(),
        /// The app's page, as it is registered.
        pub frame: Option<String>,
        /// How long a token counts that the page is given.
        pub token_seconds: i64 = 300,
        /// The status of a refused introspection: the docs say 401, an integrator saw 422.
        pub refusal_status: u16 = 401,
    }
}
