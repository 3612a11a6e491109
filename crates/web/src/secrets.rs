//! Random secrets that are shown once. Only their hashes are stored.

use ring::digest;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret as _, SecretString};

/// Enough that none can be guessed.
const BYTES: usize = 32;

/// Random bytes in hexadecimal. `None`: the machine has no randomness to give.
pub(crate) fn new_digits(random: &dyn SecureRandom) -> Option<String> {
    let mut bytes = [0; BYTES];
    random.fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

/// Whether a text has the form of [`new_digits`].
pub(crate) fn are_digits(text: &str) -> bool {
    text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// With a prefix, so that a secret that leaks can be found by searching for it. `None`: the machine
/// has no randomness to give.
pub(crate) fn new_secret(prefix: &str, random: &dyn SecureRandom) -> Option<SecretString> {
    let digits = new_digits(random)?;
    Some(format!("{prefix}{digits}").into())
}

pub(crate) fn secret_hash(secret: &SecretString) -> [u8; 32] {
    hash(secret.expose_secret().as_bytes())
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
