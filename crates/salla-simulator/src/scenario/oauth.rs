//! Choices about tokens and the state of shops (docs.salla.dev/421118m0).

use super::Fault;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oauth {
    pub access_token_seconds: i64,
    /// An access token also expires after this many requests, if given.
    pub access_token_requests: Option<u64>,
    pub refresh_token_seconds: i64,
    pub lifetime_field: LifetimeField,
    /// In place of the lifetime of each token answer, as JSON members such as
    /// `"expires_in":0,"expires":null`; empty for an answer that says nothing of it.
    pub lifetime_members: Option<String>,
    /// Every refresh is carried out and its answer lost.
    pub lose_refresh_answers: bool,
    /// What becomes of every request for tokens, while this is set.
    pub token_fault: Option<Fault>,
    /// A refresh is answered without the new refresh token.
    pub omit_refresh_token: bool,
    /// The status of `invalid_grant`: the docs say 401, integrators saw 400.
    pub invalid_grant_status: u16,
    /// What a spent, expired or unknown token is answered with: Ory Hydra has more than
    /// one word for it.
    pub invalid_grant_code: String,
    /// Whether `/oauth2/user/info` wraps its answer in `data`.
    pub user_info_in_data: bool,
    /// What the merchant does who is asked to consent.
    pub consent: Consent,
    /// What the user has granted; checked at every request.
    pub scopes: Vec<String>,
}

impl Default for Oauth {
    fn default() -> Self {
        Self {
            access_token_seconds: 1_209_599,
            access_token_requests: None,
            refresh_token_seconds: 30 * 86_400,
            lifetime_field: LifetimeField::default(),
            lifetime_members: None,
            lose_refresh_answers: false,
            token_fault: None,
            omit_refresh_token: false,
            invalid_grant_status: 401,
            invalid_grant_code: "invalid_grant".to_owned(),
            user_info_in_data: true,
            consent: Consent::default(),
            scopes: [
                "settings.read",
                "orders.read",
                "customers.read",
                "products.read",
                "categories.read",
                "offline_access",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
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

/// Choices about apps whose page is inside the dashboard (docs.salla.dev/embedded-sdk).
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
