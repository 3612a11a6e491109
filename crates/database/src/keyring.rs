//! The keys that tokens at rest are encrypted with.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use domain::failure::Failure;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::TxError;

/// What [`Keyring::seal_check`] seals, and for where.
const CHECK: &str = "salla_sync.key_checks";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// A key that was made from another one.
pub type DerivedKey = Zeroizing<[u8; KEY_BYTES]>;

/// Keys come from many tools, some of which leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The current key encrypts; the others only open what they encrypted in their time.
#[derive(Clone)]
pub struct Keyring {
    current: SealingKey,
    others: Vec<SealingKey>,
}

#[derive(Clone)]
struct SealingKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error("the key is empty; expected NAME:BASE64, more of them separated by commas")]
    Empty,
    #[error(
        "key {position} is not of the form NAME:BASE64, where NAME has letters, digits, - and _"
    )]
    Form { position: usize },
    #[error("key {position} does not decode to {KEY_BYTES} bytes of base64")]
    Length { position: usize },
    #[error("two keys have the name {name}")]
    SameName { name: String },
}

/// Why a stored token cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyMismatch {
    #[error(
        "stored tokens are encrypted with the key {key_id}, which is not in SALLA_SYNC_KEY; add it \
         after the current one"
    )]
    Missing { key_id: String },
    #[error(
        "the key {key_id} in SALLA_SYNC_KEY is not the one that the stored tokens were encrypted \
         with; put the former one back"
    )]
    Wrong { key_id: String },
}

impl Keyring {
    /// Reads `NAME:BASE64[,NAME:BASE64…]`; the first key is the current one.
    pub fn parse(text: &SecretString) -> Result<Self, KeyringError> {
        let mut keys: Vec<SealingKey> = Vec::new();
        let parts = text.expose_secret().split(',').map(str::trim);
        for (position, part) in (1..).zip(parts.filter(|part| !part.is_empty())) {
            let key = SealingKey::parse(part, position)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyringError::SameName { name: key.id });
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        Ok(Self {
            current: keys.next().ok_or(KeyringError::Empty)?,
            others: keys.collect(),
        })
    }

    /// A new key from the operating system's randomness, and its text to keep.
    pub fn generate() -> Result<(Self, SecretString), Failure> {
        let key = Zeroizing::new(random::<KEY_BYTES>()?);
        let id = format!("k{}", hex(&random::<4>()?));
        let text = format!("{id}:{}", BASE64.encode(key.as_slice()));
        let current = SealingKey { id, key };
        let others = Vec::new();
        Ok((Self { current, others }, SecretString::from(text)))
    }

    /// A key for another purpose, which says nothing of the one that encrypts.
    pub fn derive(&self, purpose: &str) -> DerivedKey {
        let mut sha = Sha256::new_with_prefix(b"salla-sync derived key 1\n");
        sha.update(purpose);
        sha.update(b"\n");
        sha.update(self.current.key.as_slice());
        Zeroizing::new(sha.finalize().into())
    }

    /// The name of the key that encrypts.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// The names of all keys, the one that encrypts first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter();
        std::iter::once(self.current_id()).chain(others.map(|key| key.id.as_str()))
    }

    /// Encrypts a value for one column of one row: a nonce, then the ciphertext.
    pub(crate) fn seal(
        &self,
        place: SealedPlace,
        secret: &SecretString,
    ) -> Result<Vec<u8>, Failure> {
        self.seal_for(&place.aad(), secret)
    }

    /// As [`seal`](Self::seal), for a value that is no token; `aad` names where it belongs.
    pub(crate) fn seal_for(&self, aad: &str, secret: &SecretString) -> Result<Vec<u8>, Failure> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: aad.as_bytes(),
        };
        let cipher = self.current.cipher();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Failure::Bug {
                message: "a token could not be encrypted".to_owned(),
            })?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn open(
        &self,
        place: SealedPlace,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<SecretString, KeyMismatch> {
        self.open_for(&place.aad(), key_id, sealed)
    }

    pub(crate) fn open_for(
        &self,
        aad: &str,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<SecretString, KeyMismatch> {
        let opened = self.key(key_id)?.open(aad, sealed);
        opened.ok_or_else(|| KeyMismatch::Wrong {
            key_id: key_id.to_owned(),
        })
    }

    /// A constant under the current key: whether it decrypts distinguishes a wrong key from a
    /// damaged row.
    pub(crate) fn seal_check(&self) -> Result<Vec<u8>, Failure> {
        self.seal_for(CHECK, &SecretString::from(CHECK))
    }

    pub(crate) fn open_check(&self, key_id: &str, sealed: &[u8]) -> Result<(), KeyMismatch> {
        match self.key(key_id)?.open(CHECK, sealed) {
            Some(_) => Ok(()),
            None => Err(KeyMismatch::Wrong {
                key_id: key_id.to_owned(),
            }),
        }
    }

    pub(crate) fn holds(&self, key_id: &str) -> bool {
        self.key(key_id).is_ok()
    }

    fn key(&self, key_id: &str) -> Result<&SealingKey, KeyMismatch> {
        std::iter::once(&self.current)
            .chain(&self.others)
            .find(|key| key.id == key_id)
            .ok_or_else(|| KeyMismatch::Missing {
                key_id: key_id.to_owned(),
            })
    }
}

/// What a ciphertext belongs to; it opens nowhere else.
#[derive(Clone, Copy)]
pub(crate) struct SealedPlace {
    pub(crate) connection: Uuid,
    pub(crate) column: &'static str,
    pub(crate) binding: Binding,
}

/// What beside its row and column a ciphertext is bound to.
#[derive(Clone, Copy)]
pub(crate) enum Binding {
    /// Nothing: what older versions of the program wrote.
    RowOnly,
    /// The version of the tokens, and the shop once it is known.
    Whole { version: i64, salla_id: Option<i64> },
}

impl SealedPlace {
    fn aad(&self) -> String {
        let row = format!("salla_sync.connections/{}/{}", self.connection, self.column);
        match self.binding {
            Binding::RowOnly => row,
            Binding::Whole { version, salla_id } => {
                let shop = salla_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
                format!("2/{row}/version {version}/shop {shop}")
            }
        }
    }
}

impl SealingKey {
    fn parse(text: &str, position: usize) -> Result<Self, KeyringError> {
        let (id, encoded) = text
            .split_once(':')
            .ok_or(KeyringError::Form { position })?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || !id.chars().all(is_name) {
            return Err(KeyringError::Form { position });
        }
        let bytes = BASE64.decode(encoded).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| KeyringError::Length { position })?;
        let key = bytes.as_slice().try_into();
        Ok(Self {
            id: id.to_owned(),
            key: Zeroizing::new(key.map_err(|_| KeyringError::Length { position })?),
        })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.key))
    }

    fn open(&self, aad: &str, sealed: &[u8]) -> Option<SecretString> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: ciphertext,
            aad: aad.as_bytes(),
        };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload).ok()?;
        String::from_utf8(opened).ok().map(SecretString::from)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("current", &self.current.id)
            .field("others", &self.others.len())
            .finish_non_exhaustive()
    }
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    <[u8; N]>::try_generate().map_err(|_| Failure::Bug {
        message: "the operating system provides no random numbers".to_owned(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ADD_CHECK: &str = "
    INSERT INTO salla_sync.key_checks (key_id, sealed) VALUES ($1, $2)
    ON CONFLICT (key_id) DO NOTHING";

/// Everything that is written with a key also stores its constant.
pub(crate) async fn leave_check(
    connection: &mut PgConnection,
    keyring: &Keyring,
) -> Result<(), TxError> {
    sqlx::query(ADD_CHECK)
        .bind(keyring.current_id())
        .bind(keyring.seal_check()?)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(column: &'static str) -> SealedPlace {
        SealedPlace {
            connection: Uuid::from_u128(7),
            column,
            binding: Binding::Whole {
                version: 3,
                salla_id: Some(9),
            },
        }
    }

    #[test]
    fn a_token_opens_for_its_own_shop_and_version_only() {
        let (keyring, _) = Keyring::generate().unwrap();
        let key = keyring.current_id();
        let bound = |version, salla_id| SealedPlace {
            binding: Binding::Whole { version, salla_id },
            ..place("access_token")
        };
        let sealed = keyring
            .seal(bound(3, Some(9)), &SecretString::from("t"))
            .unwrap();
        assert!(keyring.open(bound(3, Some(9)), key, &sealed).is_ok());
        let row_only = SealedPlace {
            binding: Binding::RowOnly,
            ..place("access_token")
        };
        for other in [
            bound(2, Some(9)),
            bound(3, Some(8)),
            bound(3, None),
            row_only,
        ] {
            let opened = keyring.open(other, key, &sealed);
            assert!(matches!(opened, Err(KeyMismatch::Wrong { .. })));
        }
    }

    fn parse(text: &str) -> Result<Keyring, KeyringError> {
        Keyring::parse(&SecretString::from(text))
    }

    #[test]
    fn only_its_own_place_opens_a_token() {
        let (keyring, text) = Keyring::generate().unwrap();
        let again = Keyring::parse(&text).unwrap();
        let secret = SecretString::from("ory_at_secret");
        let sealed = keyring.seal(place("access_token"), &secret).unwrap();
        let key = keyring.current_id();
        let opened = again.open(place("access_token"), key, &sealed).unwrap();
        assert_eq!(opened.expose_secret(), "ory_at_secret");
        let elsewhere = again.open(place("refresh_token"), key, &sealed);
        assert!(matches!(elsewhere, Err(KeyMismatch::Wrong { .. })));
        let twice = keyring.seal(place("access_token"), &secret).unwrap();
        assert_ne!(sealed, twice, "the nonce is new each time");
    }

    #[test]
    fn an_old_key_still_opens_after_a_rotation() {
        let (old, old_text) = Keyring::generate().unwrap();
        let (_, new_text) = Keyring::generate().unwrap();
        let both = format!("{},{}", new_text.expose_secret(), old_text.expose_secret());
        let both = parse(&both).unwrap();
        let secret = SecretString::from("t");
        let sealed = old.seal(place("access_token"), &secret).unwrap();
        assert!(
            both.open(place("access_token"), old.current_id(), &sealed)
                .is_ok()
        );
        let lost = Keyring::parse(&new_text).unwrap();
        let missing = lost.open(place("access_token"), old.current_id(), &sealed);
        assert!(matches!(missing, Err(KeyMismatch::Missing { .. })));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_without_showing_it() {
        let good = BASE64.encode([7; KEY_BYTES]);
        let table = [
            ("", KeyringError::Empty),
            (" , ", KeyringError::Empty),
            ("nocolon", KeyringError::Form { position: 1 }),
            (":AAAA", KeyringError::Form { position: 1 }),
            ("a b:AAAA", KeyringError::Form { position: 1 }),
            ("a:AAAA", KeyringError::Length { position: 1 }),
            ("a:???", KeyringError::Length { position: 1 }),
        ];
        for (text, error) in table {
            assert_eq!(parse(text).err(), Some(error), "{text}");
        }
        let twice = parse(&format!("a:{good},a:{good}")).err().unwrap();
        assert_eq!(twice.to_string(), "two keys have the name a");
        let unpadded = good.trim_end_matches('=');
        let keyring = parse(&format!("a:{unpadded}")).unwrap();
        assert_eq!(
            format!("{keyring:?}"),
            "Keyring { current: \"a\", others: 0, .. }"
        );
    }
}
