//! The `state` that a browser carries to Salla and back: signed, expiring, and bound to the
//! browser by a cookie. That it counts once is for [`Consents`] to see to.
//!
//! It is hexadecimal, because Salla takes hyphens out of it.
//!
//! [`Consents`]: importer::ports::consents::Consents

use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use ring::rand::SecureRandom;

use crate::secrets;

/// For a merchant to read Salla's page and to consent.
pub(crate) const LASTS: SignedDuration = SignedDuration::from_mins(10);

const NONCE: usize = 16;
const EXPIRY: usize = 8;
const TAG: usize = 32;
const LENGTH: usize = NONCE + EXPIRY + 2 * TAG;

/// Makes states and knows them again.
pub struct States {
    issued: hmac::Key,
    bound: hmac::Key,
}

/// What is known of a state that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Good {
        hash: [u8; 32],
        expires_at: Timestamp,
    },
    /// It has not the form of ours: an install that began elsewhere.
    NotOurs,
    /// It has our form and was not signed here.
    Forged,
    Expired,
    /// Another browser than this one carries it.
    OtherBrowser,
}

impl States {
    /// `key`: secret, and the same in all processes that serve one address.
    pub fn new(key: &[u8]) -> Self {
        let derived = |purpose: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            let tag = hmac::sign(&key, purpose.as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
        };
        Self {
            issued: derived("state is ours 1"),
            bound: derived("state is this browser's 1"),
        }
    }

    /// `None`: the machine has no randomness to give.
    pub(crate) fn issue(
        &self,
        browser: &str,
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Option<String> {
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce).ok()?;
        let expires_at = now.checked_add(LASTS).ok()?.as_second();
        let mut state = Vec::with_capacity(LENGTH);
        state.extend(nonce);
        state.extend(expires_at.to_be_bytes());
        let issued = hmac::sign(&self.issued, &state);
        let bound = hmac::sign(&self.bound, &bound_to(&state, browser));
        state.extend(issued.as_ref());
        state.extend(bound.as_ref());
        Some(hex::encode(state))
    }

    pub(crate) fn check(&self, state: &str, browser: Option<&str>, now: Timestamp) -> Checked {
        let Some(bytes) = hex::decode(state).ok().filter(|b| b.len() == LENGTH) else {
            return Checked::NotOurs;
        };
        let (signed, tags) = bytes.split_at(NONCE + EXPIRY);
        let (issued, bound) = tags.split_at(TAG);
        if hmac::verify(&self.issued, signed, issued).is_err() {
            return Checked::Forged;
        }
        let mut expiry = [0; EXPIRY];
        expiry.copy_from_slice(&signed[NONCE..]);
        let expires_at = Timestamp::from_second(i64::from_be_bytes(expiry));
        let Ok(expires_at) = expires_at.map(|at| at.min(now + LASTS)) else {
            return Checked::Forged;
        };
        if expires_at <= now {
            return Checked::Expired;
        }
        let is_bound = browser.is_some_and(|browser| {
            hmac::verify(&self.bound, &bound_to(signed, browser), bound).is_ok()
        });
        if !is_bound {
            return Checked::OtherBrowser;
        }
        Checked::Good {
            hash: secrets::hash(state.to_ascii_lowercase().as_bytes()),
            expires_at,
        }
    }
}

fn bound_to(signed: &[u8], browser: &str) -> Vec<u8> {
    [signed, browser.as_bytes()].concat()
}

/// What identifies a browser from now on.
pub(crate) fn new_browser(random: &dyn SecureRandom) -> Option<String> {
    secrets::new_digits(random)
}

/// Whether a cookie is one of those.
pub(crate) fn is_browser(text: &str) -> bool {
    secrets::are_digits(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn is_good(checked: &Checked) -> bool {
        matches!(checked, Checked::Good { .. })
    }

    #[test]
    fn a_state_counts_in_its_browser_and_for_its_time() {
        let random = SystemRandom::new();
        let states = States::new(b"key");
        let browser = new_browser(&random).unwrap();
        assert!(is_browser(&browser));
        let state = states.issue(&browser, now(), &random).unwrap();
        assert!(!state.contains('-'), "Salla takes hyphens out");
        let good = states.check(&state, Some(&browser), now());
        assert!(is_good(&good));
        let other = new_browser(&random).unwrap();
        for browser in [None, Some(""), Some(other.as_str())] {
            let checked = states.check(&state, browser, now());
            assert_eq!(checked, Checked::OtherBrowser);
        }
        let late = now() + LASTS;
        let checked = states.check(&state, Some(&browser), late);
        assert_eq!(checked, Checked::Expired);
        let just = late - SignedDuration::from_secs(1);
        assert!(is_good(&states.check(&state, Some(&browser), just)));
    }

    #[test]
    fn what_was_not_signed_here_is_distinguished_from_what_is_none_of_ours() {
        let random = SystemRandom::new();
        let states = States::new(b"key");
        let browser = new_browser(&random).unwrap();
        let state = states.issue(&browser, now(), &random).unwrap();
        let check = |state: &str| states.check(state, Some(&browser), now());
        for text in ["", "12345678", "متجر", &state[2..], &format!("{state}00")] {
            assert_eq!(check(text), Checked::NotOurs, "{text}");
        }
        for at in (0..2 * (NONCE + EXPIRY + TAG)).step_by(3) {
            let mut changed = state.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(check(&changed), Checked::Forged, "{at}");
        }
        let elsewhere = States::new(b"another key");
        let foreign = elsewhere.issue(&browser, now(), &random).unwrap();
        assert_eq!(check(&foreign), Checked::Forged);
    }

    #[test]
    fn two_states_are_never_the_same() {
        let random = SystemRandom::new();
        let states = States::new(b"key");
        let issue = || states.issue("browser", now(), &random).unwrap();
        assert_ne!(issue(), issue());
    }
}
