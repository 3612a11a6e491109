//! Tokens and their families. A refresh token works once. Presenting a used
//! one revokes its whole family, the newest tokens included, and only a new
//! installation helps (docs.salla.dev/421118m0).

use crate::clock::SECOND;
use crate::scenario::Oauth;
use crate::shop::mix;
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

#[derive(Debug)]
pub(crate) struct Grants {
    seed: u64,
    issued: u64,
    families: Vec<Family>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, RefreshToken>,
    codes: HashMap<String, Code>,
    dashboard: HashMap<String, DashboardToken>,
}

/// What the dashboard hands to the page of an app inside it.
#[derive(Clone, Debug)]
pub(crate) struct DashboardToken {
    pub(crate) shop: usize,
    pub(crate) app: String,
    pub(crate) expires_at: i64,
}

/// What a browser brings back from a consent.
#[derive(Debug)]
struct Code {
    shop: usize,
    redirect_uri: String,
}

/// All tokens that descend from one consent of one merchant.
#[derive(Debug)]
struct Family {
    shop: usize,
    revoked: bool,
}

#[derive(Debug)]
struct Access {
    family: usize,
    expires_at: i64,
    requests: u64,
}

#[derive(Debug)]
struct RefreshToken {
    family: usize,
    expires_at: i64,
    used: bool,
    /// The pair that it was exchanged for has gone out undamaged.
    was_answered: bool,
}

/// What became of a refresh token that was presented.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    Renewed(Tokens),
    /// It had been used before; its family is now revoked.
    Reused {
        was_answered: bool,
    },
    Refused,
}

impl Grants {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            issued: 0,
            families: Vec::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            codes: HashMap::new(),
            dashboard: HashMap::new(),
        }
    }

    /// The first pair of a new consent.
    pub(crate) fn consent(&mut self, shop: usize, now: i64, oauth: &Oauth) -> Tokens {
        self.families.push(Family {
            shop,
            revoked: false,
        });
        self.issue(self.families.len() - 1, now, oauth)
    }

    /// A code for the redirect; it can be redeemed once, with the same address.
    pub(crate) fn code(&mut self, shop: usize, redirect_uri: &str) -> String {
        let code = self.word("ory_ac");
        let redirect_uri = redirect_uri.to_owned();
        self.codes.insert(code.clone(), Code { shop, redirect_uri });
        code
    }

    pub(crate) fn redeem(
        &mut self,
        code: &str,
        redirect_uri: &str,
        now: i64,
        oauth: &Oauth,
    ) -> Option<Tokens> {
        let code = self.codes.remove(code)?;
        (code.redirect_uri == redirect_uri).then(|| self.consent(code.shop, now, oauth))
    }

    /// A token for the page of an app in the dashboard of a shop.
    pub(crate) fn dashboard_token(&mut self, shop: usize, app: &str, expires_at: i64) -> String {
        let token = self.word("em_tok");
        let known = DashboardToken {
            shop,
            app: app.to_owned(),
            expires_at,
        };
        self.dashboard.insert(token.clone(), known);
        token
    }

    pub(crate) fn introspect(&self, token: &str) -> Option<&DashboardToken> {
        self.dashboard.get(token)
    }

    /// The app was removed from a shop: all its tokens are dead.
    pub(crate) fn uninstall(&mut self, shop: usize) {
        let families = self.families.iter_mut();
        families
            .filter(|family| family.shop == shop)
            .for_each(|family| family.revoked = true);
    }

    pub(crate) fn refresh(&mut self, token: &str, now: i64, oauth: &Oauth) -> Refresh {
        let Some(presented) = self.refresh.get_mut(token) else {
            return Refresh::Refused;
        };
        let number = presented.family;
        let family = &mut self.families[number];
        if family.revoked || now >= presented.expires_at {
            return Refresh::Refused;
        }
        if presented.used {
            family.revoked = true;
            return Refresh::Reused {
                was_answered: presented.was_answered,
            };
        }
        presented.used = true;
        Refresh::Renewed(self.issue(number, now, oauth))
    }

    /// The client has been sent what it presented this token for.
    pub(crate) fn answered(&mut self, token: &str) {
        if let Some(presented) = self.refresh.get_mut(token) {
            presented.was_answered = presented.used;
        }
    }

    /// The shop of a valid access token; each call counts as a request.
    pub(crate) fn shop_of(&mut self, token: &str, now: i64, oauth: &Oauth) -> Option<usize> {
        let access = self.access.get_mut(token)?;
        let family = &self.families[access.family];
        if family.revoked || now >= access.expires_at {
            return None;
        }
        access.requests += 1;
        let spent = oauth
            .access_token_requests
            .is_some_and(|most| access.requests > most);
        (!spent).then_some(family.shop)
    }

    pub(crate) fn expire(&mut self, token: &str) {
        if let Some(access) = self.access.get_mut(token) {
            access.expires_at = i64::MIN;
        }
    }

    fn issue(&mut self, family: usize, now: i64, oauth: &Oauth) -> Tokens {
        let tokens = Tokens {
            access: self.word("ory_at"),
            refresh: self.word("ory_rt"),
        };
        let access = Access {
            family,
            expires_at: now + oauth.access_token_seconds * SECOND,
            requests: 0,
        };
        let refresh = RefreshToken {
            family,
            expires_at: now + oauth.refresh_token_seconds * SECOND,
            used: false,
            was_answered: false,
        };
        self.access.insert(tokens.access.clone(), access);
        self.refresh.insert(tokens.refresh.clone(), refresh);
        tokens
    }

    fn word(&mut self, prefix: &str) -> String {
        self.issued += 1;
        let first = mix(self.seed ^ mix(self.issued));
        format!("{prefix}_{first:016x}{:016x}", mix(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewed(refresh: Refresh) -> Tokens {
        match refresh {
            Refresh::Renewed(tokens) => tokens,
            other => panic!("not renewed: {other:?}"),
        }
    }

    #[test]
    fn a_second_use_of_a_refresh_token_revokes_the_family() {
        let oauth = Oauth::default();
        let mut grants = Grants::new(1);
        let first = grants.consent(0, 0, &oauth);
        let second = renewed(grants.refresh(&first.refresh, 0, &oauth));
        assert_eq!(grants.shop_of(&first.access, 0, &oauth), Some(0));
        assert_eq!(grants.shop_of(&second.access, 0, &oauth), Some(0));
        let reused = Refresh::Reused {
            was_answered: false,
        };
        assert_eq!(grants.refresh(&first.refresh, 0, &oauth), reused);
        assert_eq!(grants.shop_of(&first.access, 0, &oauth), None);
        assert_eq!(grants.shop_of(&second.access, 0, &oauth), None);
        assert_eq!(grants.refresh(&second.refresh, 0, &oauth), Refresh::Refused);
    }

    #[test]
    fn another_consent_is_not_touched() {
        let oauth = Oauth::default();
        let mut grants = Grants::new(1);
        let first = grants.consent(0, 0, &oauth);
        let other = grants.consent(0, 0, &oauth);
        grants.refresh(&first.refresh, 0, &oauth);
        grants.refresh(&first.refresh, 0, &oauth);
        assert_eq!(grants.shop_of(&other.access, 0, &oauth), Some(0));
    }

    #[test]
    fn access_tokens_end_by_time_or_by_use() {
        let oauth = Oauth {
            access_token_seconds: 10,
            access_token_requests: Some(2),
            ..Oauth::default()
        };
        let mut grants = Grants::new(1);
        let tokens = grants.consent(4, 0, &oauth);
        assert_eq!(grants.shop_of(&tokens.access, 10 * SECOND, &oauth), None);
        assert_eq!(grants.shop_of(&tokens.access, 0, &oauth), Some(4));
        assert_eq!(grants.shop_of(&tokens.access, 0, &oauth), Some(4));
        assert_eq!(grants.shop_of(&tokens.access, 0, &oauth), None);
    }

    #[test]
    fn a_code_works_once() {
        let oauth = Oauth::default();
        let mut grants = Grants::new(1);
        let code = grants.code(3, "https://app.example/callback");
        let redeem = |grants: &mut Grants, code: &str, uri: &str| {
            grants.redeem(code, uri, 0, &oauth).is_some()
        };
        assert!(redeem(&mut grants, &code, "https://app.example/callback"));
        assert!(!redeem(&mut grants, &code, "https://app.example/callback"));
        let other = grants.code(3, "https://app.example/callback");
        assert!(!redeem(&mut grants, &other, "https://app.example/"));
    }

    #[test]
    fn a_shop_that_removed_the_app_has_no_token_that_works() {
        let oauth = Oauth::default();
        let mut grants = Grants::new(1);
        let (gone, stays) = (grants.consent(0, 0, &oauth), grants.consent(1, 0, &oauth));
        grants.uninstall(0);
        assert_eq!(grants.shop_of(&gone.access, 0, &oauth), None);
        assert_eq!(grants.refresh(&gone.refresh, 0, &oauth), Refresh::Refused);
        assert_eq!(grants.shop_of(&stays.access, 0, &oauth), Some(1));
    }
}
