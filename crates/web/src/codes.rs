//! One-time codes that a merchant types into the app's settings at Salla: 80 bits, in letters
//! and digits that are not taken for each other.

use ring::hmac;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret as _, SecretString};

/// Crockford's: without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BYTES: usize = 10;
const LETTERS: usize = 16;
const GROUP: usize = 4;

/// Makes codes and knows them again. The key is not in the database, so that what is stored
/// there opens nothing.
pub struct Codes(hmac::Key);

impl Codes {
    /// `key`: secret, and the same in all processes that serve one address.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// `None`: the machine has no randomness to give.
    pub(crate) fn issue(&self, random: &dyn SecureRandom) -> Option<SecretString> {
        let mut bytes = [0; BYTES];
        random.fill(&mut bytes).ok()?;
        let mut bits = bytes
            .iter()
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let mut code = Vec::with_capacity(LETTERS + LETTERS / GROUP);
        for at in 0..LETTERS {
            if at > 0 && at % GROUP == 0 {
                code.push(b'-');
            }
            code.push(ALPHABET[(bits & 31) as usize]);
            bits >>= 5;
        }
        Some(String::from_utf8(code).ok()?.into())
    }

    /// What is stored of a code. `None`: the text has not the form of one.
    pub(crate) fn hmac(&self, typed: &SecretString) -> Option<[u8; 32]> {
        let code = normal(typed.expose_secret())?;
        let tag = hmac::sign(&self.0, code.as_bytes());
        let mut hmac = [0; 32];
        hmac.copy_from_slice(tag.as_ref());
        Some(hmac)
    }
}

/// As people type: in small letters, with blanks, and with what looks alike.
fn normal(typed: &str) -> Option<String> {
    let mut code = String::with_capacity(LETTERS);
    for c in typed.chars() {
        let c = match c {
            ' ' | '-' | '\u{2010}'..='\u{2015}' | '\u{200e}' | '\u{200f}' => continue,
            '٠'..='٩' => char::from_digit(u32::from(c) - u32::from('٠'), 10)?,
            'o' | 'O' => '0',
            'i' | 'I' | 'l' | 'L' => '1',
            c => c.to_ascii_uppercase(),
        };
        let is_known = u8::try_from(c).is_ok_and(|byte| ALPHABET.contains(&byte));
        if !is_known || code.len() == LETTERS {
            return None;
        }
        code.push(c);
    }
    (code.len() == LETTERS).then_some(code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_is_known_again_however_it_is_typed() {
        let codes = Codes::new(b"key");
        let random = ring::rand::SystemRandom::new();
        let code = codes.issue(&random).unwrap();
        let text = code.expose_secret();
        assert_eq!(text.len(), LETTERS + 3, "{text}");
        let stored = codes.hmac(&code).unwrap();
        for typed in [
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            format!("\u{200f} {text} "),
            text.replace('0', "O").replace('1', "l"),
            text.replace('7', "٧"),
        ] {
            assert_eq!(codes.hmac(&typed.clone().into()), Some(stored), "{typed}");
        }
        assert_ne!(Codes::new(b"another").hmac(&code), Some(stored));
        for typed in [
            "",
            "ABCD",
            &format!("{text}0"),
            "ABCD-EFGH-JKMN-PQR!",
            "متجر",
        ] {
            assert_eq!(codes.hmac(&typed.to_owned().into()), None, "{typed}");
        }
    }

    #[test]
    fn codes_have_eighty_bits_that_differ() {
        let codes = Codes::new(b"key");
        let random = ring::rand::SystemRandom::new();
        let all: BTreeSet<String> = (0..1_000)
            .map(|_| codes.issue(&random).unwrap().expose_secret().to_owned())
            .collect();
        assert_eq!(all.len(), 1_000);
        for at in (0..19).filter(|at| at % 5 != 4) {
            let letters: BTreeSet<u8> = all.iter().map(|code| code.as_bytes()[at]).collect();
            assert_eq!(letters.len(), 32, "letter {at}");
        }
    }
}
