//! Whom e-mails about a shop reach.

use async_trait::async_trait;
use domain::contact::{Contact, EmailAddress, Language};
use domain::failure::Failure;
use domain::shop::MerchantId;

/// The known contact of a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactSettings {
    pub address: Option<EmailAddress>,
    pub language: Language,
    /// Without it no e-mail is sent, whatever the address.
    pub wants_email: bool,
    /// The address, or that there is none, was set here; otherwise it comes from the platform.
    pub is_set: bool,
}

impl Default for ContactSettings {
    fn default() -> Self {
        Self {
            address: None,
            language: Language::default(),
            wants_email: true,
            is_set: false,
        }
    }
}

impl ContactSettings {
    /// Who gets e-mails, if anyone does.
    pub fn contact(self) -> Option<Contact> {
        let address = self.address.filter(|_| self.wants_email)?;
        Some(Contact {
            address,
            language: self.language,
        })
    }
}

/// What to change; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactChange {
    /// `Some(None)`: there is no address, whatever the platform names later.
    pub address: Option<Option<EmailAddress>>,
    pub language: Option<Language>,
    pub wants_email: Option<bool>,
}

impl ContactChange {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is changed, without the values.
    pub fn named(&self) -> String {
        let fields = [
            ("address", self.address.is_some()),
            ("language", self.language.is_some()),
            ("whether e-mails are wanted", self.wants_email.is_some()),
        ];
        let changed = fields.iter().filter(|(_, is_changed)| *is_changed);
        let names: Vec<&str> = changed.map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// Contacts at rest; the address is encrypted.
#[async_trait]
pub trait Contacts: Send + Sync {
    /// What is known, or the defaults.
    async fn contact_of(&self, merchant: MerchantId) -> Result<ContactSettings, Failure>;

    /// Changes it and returns what is known then. May be repeated.
    async fn change(
        &self,
        merchant: MerchantId,
        change: &ContactChange,
    ) -> Result<ContactSettings, Failure>;

    /// The address that the platform names. It is used if none was set here. May be repeated.
    async fn suggest(&self, merchant: MerchantId, address: &EmailAddress) -> Result<(), Failure>;
}
