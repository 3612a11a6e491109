//! Salla's accounts host as the port of those who connect shops.

use async_trait::async_trait;
use domain::contact::EmailAddress;
use domain::failure::Failure;
use domain::scopes::NEEDED;
use importer::ports::accounts::{Accounts, RedeemError, ShopAccount};
use importer::ports::connections::Tokens;
use secrecy::{ExposeSecret as _, SecretString};

use super::{AppCredentials, OAuth, TokenError, authorize_url};

/// One app at Salla's accounts host.
#[derive(Clone, Debug)]
pub struct AppAccounts {
    pub oauth: OAuth,
    pub app: AppCredentials,
    /// Where browsers come back to, exactly as the app's registration has it.
    pub redirect_uri: String,
}

#[async_trait]
impl Accounts for AppAccounts {
    fn consent_address(&self, state: &str) -> String {
        let host = &self.oauth.accounts_url;
        let (id, redirect_uri) = (&self.app.client_id, &self.redirect_uri);
        authorize_url(host, id, redirect_uri, &NEEDED, state).into()
    }

    async fn redeem(&self, code: &SecretString) -> Result<Tokens, RedeemError> {
        let exchange =
            self.oauth
                .exchange_code(&self.app, code.expose_secret(), &self.redirect_uri);
        exchange.await.map_err(|error| match error {
            TokenError::InvalidGrant => RedeemError::CodeRefused,
            TokenError::Refused { code } => RedeemError::AppRefused { code },
            TokenError::NotSent { .. } | TokenError::Lost { .. } => RedeemError::NoAnswer {
                reason: error.to_string(),
            },
        })
    }

    async fn shop_of(&self, access_token: &SecretString) -> Result<ShopAccount, Failure> {
        let info = self.oauth.user_info(access_token).await?;
        Ok(ShopAccount {
            salla_id: info.merchant_id,
            email: info.email.as_deref().and_then(EmailAddress::parse),
        })
    }
}
