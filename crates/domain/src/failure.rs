//! What can go wrong with a run, sorted by who must act (ARCHITECTURE.md#failures-by-who-must-act).
//!
//! A record that cannot be read is not a failure but a [`crate::rejection::Rejection`]: it is
//! stored separately and the run continues.

use std::time::Duration;

use crate::certificate::Imbalance;

/// Writes `ALL` from names of variants. A variant that is not among them does not
/// compile.
macro_rules! all {
    ($($variant:ident),+ $(,)?) => {
        pub const ALL: [Self; [$(stringify!($variant)),+].len()] = {
            let _: fn(Self) = |one| match one {
                $(Self::$variant => ()),+
            };
            [$(Self::$variant),+]
        };
    };
}

/// Writes `code` and the list of all codes from one table, so that neither can lack a variant.
macro_rules! codes {
    ($($variant:pat => $code:literal),+ $(,)?) => {
        /// A stable name for logs, the database and the runbook.
        pub fn code(&self) -> &'static str {
            match self {
                Self::Disconnected(why) => why.code(),
                $($variant => $code),+
            }
        }

        /// All codes that [`Failure::code`] returns; docs/runbook.md has a section for each.
        pub fn codes() -> impl Iterator<Item = &'static str> {
            let disconnections = Disconnection::ALL.into_iter().map(Disconnection::code);
            [$($code),+].into_iter().chain(disconnections)
        }
    };
}

/// Why a run, or one of its requests, cannot continue now.
///
/// No variant carries a token or a value from a shop's records, so that a failure
/// may be logged, stored and shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No one must act: it will pass. The retry budget of the request is spent.
    #[error("{message}")]
    Transient { message: String },
    /// Salla requires a wait.
    #[error("Salla requires a wait of {} s", wait.as_secs())]
    Throttled { wait: Duration },
    /// The merchant must act: the connection no longer works.
    #[error("{0}")]
    Disconnected(#[from] Disconnection),
    /// The operator must act: Salla's responses do not follow their contract.
    #[error("{message}")]
    Broken { message: String },
    /// The operator must act if it stays: one response is not JSON, however often it is requested.
    /// A maintenance page passes, a damaged one does not.
    #[error("{message}")]
    NotJson { message: String },
    /// The operator must act: a response is longer than the limit, and cannot be fetched in parts.
    #[error("{message}")]
    TooLarge { message: String },
    /// The operator must act: too many records of one kind were rejected, so our reading, and not
    /// the shop, is probably wrong.
    #[error(
        "{count} of {seen} {resource} were rejected as {code}: more than the limit, so the run \
         stopped before rejecting more"
    )]
    TooManyRejections {
        resource: &'static str,
        code: &'static str,
        count: u64,
        seen: u64,
    },
    /// Salla's lists could not be shown to be in the database whole.
    #[error("{windows} window(s) still differ from Salla's list: {cause}")]
    Unbalanced { windows: usize, cause: Imbalance },
    /// The database refuses or has gone.
    #[error("{message}")]
    Database {
        message: String,
        cause: DatabaseCause,
    },
    /// The operator must act: this machine's clock, the database's and Salla's differ, so
    /// that older records could be taken for newer ones.
    #[error("{message}")]
    ClocksApart { message: String },
    /// The operator must act: something beside the database that the program works with is
    /// missing or refuses it, such as a queue or a right.
    #[error("{message}")]
    Setup { message: String },
    /// Another worker holds the run, or took it over: this one must write nothing.
    #[error("another worker holds this run; nothing more was written")]
    LeaseLost,
    /// A person or program stopped the run.
    #[error("stopped on request")]
    Stopped,
    /// The developer must act: an invariant does not hold.
    #[error("{message}")]
    Bug { message: String },
}

/// What has to happen before the database takes the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseCause {
    /// Nothing but time: it is away, restarting or busy.
    Unavailable,
    /// It must take writes again, or another address must be given.
    ReadOnly,
    /// Its disk must have space again.
    DiskFull,
    /// The operator must change what the message names: an address, a right, a setting, a version.
    Setup,
    /// Unknown: it refused, and only its log says more.
    Refused,
}

impl DatabaseCause {
    fn advice(self) -> &'static str {
        match self {
            Self::Unavailable => {
                "check with `salla-sync doctor` that PostgreSQL can be reached, then run the same \
                 command again: it resumes from the checkpoint"
            }
            Self::ReadOnly => {
                "make the database writable or use the address of the primary (`salla-sync doctor` \
                 says which), then run the same command again: it resumes from the checkpoint"
            }
            Self::DiskFull => {
                "free space on the database's disk, then run the same command again: it resumes \
                 from the checkpoint"
            }
            Self::Setup => {
                "change what is named here (`salla-sync doctor` checks it), then run the same \
                 command again: it resumes from the checkpoint"
            }
            Self::Refused => {
                "nothing is lost; check PostgreSQL's log at this time, and report it with \
                 salla-sync's log if it happens again"
            }
        }
    }

    /// The same for a job, which resumes when its next attempt succeeds.
    fn advice_on_a_job(self) -> &'static str {
        match self {
            Self::Unavailable => {
                "check with `salla-sync doctor` that PostgreSQL can be reached; a waiting run \
                 resumes automatically, a FAILED one with `salla-sync runs restart RUN`"
            }
            Self::ReadOnly => {
                "make the database writable or use the address of the primary (`salla-sync doctor` \
                 says which); a waiting run resumes automatically, a FAILED one with `salla-sync \
                 runs restart RUN`"
            }
            Self::DiskFull => {
                "free space on the database's disk; a waiting run resumes automatically, a FAILED \
                 one with `salla-sync runs restart RUN`"
            }
            Self::Setup => {
                "change what is named here (`salla-sync doctor` checks it); a waiting run resumes \
                 automatically, a FAILED one with `salla-sync runs restart RUN`"
            }
            Self::Refused => self.advice(),
        }
    }
}

/// Why a shop's connection no longer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disconnection {
    #[error("no tokens are stored for this shop")]
    NotConnected,
    #[error("Salla rejects the access token, and there is no refresh token")]
    TokenRejected,
    #[error(
        "Salla rejects the access token, which may have expired; this command does not use the \
         refresh token, the next import does"
    )]
    NotRefreshed,
    #[error("Salla refused to refresh the token")]
    RefreshRefused,
    #[error(
        "the response to a token refresh was lost, and presenting the refresh token one last time \
         returned no new tokens"
    )]
    RefreshLost,
    #[error("the app lacks a scope that this request needs")]
    ScopeMissing,
    #[error("Salla denies this app access to the resource")]
    Forbidden,
    #[error("the merchant's Salla account or shop is not active")]
    ShopInactive,
    #[error("the tokens stored for this shop belong to another one; nothing was written")]
    OtherShop,
    #[error(
        "the shop's stored tokens were changed or damaged: the key is right, but they cannot be \
         decrypted"
    )]
    TokensDamaged,
    #[error(
        "the shop's tokens belong to another database: this one is a copy, was restored or has \
         taken over, so nothing is refreshed"
    )]
    NotAdopted,
    #[error("the merchant has removed the app, so the shop's tokens were deleted")]
    Uninstalled,
    #[error("the shop's connection is parked: nothing is requested for it")]
    Parked,
    #[error("the shop was not claimed within seven days, so its tokens were deleted")]
    Unclaimed,
}

impl Disconnection {
    all! {
        NotConnected,
        TokenRejected,
        NotRefreshed,
        RefreshRefused,
        RefreshLost,
        ScopeMissing,
        Forbidden,
        ShopInactive,
        OtherShop,
        TokensDamaged,
        NotAdopted,
        Uninstalled,
        Parked,
        Unclaimed,
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::TokenRejected => "token_rejected",
            Self::NotRefreshed => "not_refreshed",
            Self::RefreshRefused => "refresh_refused",
            Self::RefreshLost => "refresh_lost",
            Self::ScopeMissing => "scope_missing",
            Self::Forbidden => "forbidden",
            Self::ShopInactive => "shop_inactive",
            Self::OtherShop => "other_shop",
            Self::TokensDamaged => "tokens_damaged",
            Self::NotAdopted => "not_adopted",
            Self::Uninstalled => "uninstalled",
            Self::Parked => "parked",
            Self::Unclaimed => "unclaimed",
        }
    }

    /// The same for a job, whose tokens are in the database.
    fn advice_on_a_job(self) -> &'static str {
        match self {
            Self::NotConnected
            | Self::NotRefreshed
            | Self::Uninstalled
            | Self::Parked
            | Self::Unclaimed => self.advice(),
            Self::TokenRejected
            | Self::RefreshRefused
            | Self::RefreshLost
            | Self::TokensDamaged => {
                "have the merchant reinstall the app and store the new tokens with `salla-sync \
                 connect`: the run then resumes automatically"
            }
            Self::ScopeMissing => {
                "grant the app orders.read, customers.read, products.read and categories.read in \
                 the Salla Partners Portal, have the merchant accept, and store the new tokens \
                 with `salla-sync connect`: the run then resumes automatically"
            }
            Self::Forbidden => {
                "check in the Salla Partners Portal that the app may use this API and that this \
                 machine's address is among the App Trusted IPs, then `salla-sync runs restart RUN`"
            }
            Self::ShopInactive => {
                "have the merchant reactivate the Salla account, then `salla-sync runs restart RUN`"
            }
            Self::NotAdopted => {
                "make sure that no process uses the original database any more, then `salla-sync \
                 connections adopt`: its failed runs then resume"
            }
            Self::OtherShop => {
                "find out what changed salla_sync.connections or salla_sync.merchants, then store \
                 the shop's own tokens with `salla-sync connect`: the run then resumes \
                 automatically"
            }
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::NotConnected => {
                "store the shop's tokens with `salla-sync connect`: its failed runs then resume"
            }
            Self::Parked => {
                "`salla-sync connections adopt --shop SHOP` ends that, and its failed runs then \
                 resume"
            }
            Self::Uninstalled => {
                "do nothing unless the merchant wants the app back: reinstalling it connects the \
                 shop and starts its import"
            }
            Self::Unclaimed => {
                "have the merchant install the app again, and claim the shop for an account within \
                 seven days"
            }
            Self::TokenRejected => {
                "put a valid token into SALLA_ACCESS_TOKEN (and SALLA_REFRESH_TOKEN with \
                 SALLA_CLIENT_ID and SALLA_CLIENT_SECRET to refresh it) and start again"
            }
            Self::NotRefreshed => {
                "never exchange the refresh token by hand, which can lose the shop: `salla-sync \
                 import` does it, and the new tokens are then in the database; this command needs \
                 an access token that is still valid"
            }
            Self::RefreshRefused | Self::RefreshLost | Self::TokensDamaged => {
                "have the merchant reinstall the app, put the new tokens into \
                 SALLA_ACCESS_TOKEN and SALLA_REFRESH_TOKEN and start again"
            }
            Self::ScopeMissing => {
                "grant the app orders.read, customers.read, products.read and categories.read in \
                 the Salla Partners Portal, have the merchant accept, and start again with the \
                 new token"
            }
            Self::Forbidden => {
                "check in the Salla Partners Portal that the app may use this API and that this \
                 machine's address is among the App Trusted IPs, then start again"
            }
            Self::ShopInactive => {
                "have the merchant reactivate the Salla account, then start again"
            }
            Self::NotAdopted => {
                "make sure that no process uses the original database any more, then `salla-sync \
                 connections adopt`, and start again"
            }
            Self::OtherShop => {
                "find out what changed salla_sync.connections or salla_sync.merchants, then start \
                 again with the shop's own tokens"
            }
        }
    }
}

impl Failure {
    codes! {
        Self::Transient { .. } => "transient",
        Self::Throttled { .. } => "throttled",
        Self::Broken { .. } => "broken",
        Self::NotJson { .. } => "not_json",
        Self::TooLarge { .. } => "too_large",
        Self::TooManyRejections { .. } => "too_many_rejections",
        Self::Unbalanced { .. } => "unbalanced",
        Self::Database { .. } => "database",
        Self::ClocksApart { .. } => "clocks_apart",
        Self::Setup { .. } => "setup",
        Self::LeaseLost => "lease_lost",
        Self::Stopped => "stopped",
        Self::Bug { .. } => "bug",
    }

    /// What the reader can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Transient { .. } => {
                "nothing is lost; run the same command again to resume from the checkpoint"
            }
            Self::Throttled { .. } => {
                "nothing is lost; run the same command again later to resume from the checkpoint"
            }
            Self::Disconnected(why) => why.advice(),
            Self::Broken { .. } => {
                "nothing is lost; run `salla-sync doctor`, and report it with the log if it \
                 happens again"
            }
            Self::NotJson { .. } => {
                "nothing is lost; run the same command again later, and if it stops at the same \
                 response, report that response to Salla"
            }
            Self::TooLarge { .. } => {
                "nothing is lost; report this response to Salla: no shop's data is that long"
            }
            Self::TooManyRejections { .. } => {
                "check `salla-sync rejected`; if the records are really bad, start again with a \
                 higher --rejection-share, otherwise report it: the raw records are stored"
            }
            Self::Unbalanced { cause, .. } => cause.advice(),
            Self::Database { cause, .. } => cause.advice(),
            Self::ClocksApart { .. } => {
                "nothing was changed; synchronize the clocks by NTP, check with `salla-sync \
                 doctor`, and run the same command again"
            }
            Self::Setup { .. } => {
                "nothing was changed; change what is named here and run the same command again"
            }
            Self::LeaseLost => "see `salla-sync status` for the worker that holds the run",
            Self::Stopped => "run the same command again to resume from the checkpoint",
            Self::Bug { .. } => "please report it with the log; the data is unchanged",
        }
    }

    /// What the reader can do about it if the run is a job of a worker.
    pub fn advice_on_a_job(&self) -> &'static str {
        match self {
            Self::Transient { .. } | Self::Throttled { .. } | Self::Stopped => {
                "nothing is lost; a waiting run resumes automatically, a FAILED one with \
                 `salla-sync runs restart RUN`"
            }
            Self::Disconnected(why) => why.advice_on_a_job(),
            Self::NotJson { .. } => {
                "nothing is lost; a waiting run resumes automatically, a FAILED one with \
                 `salla-sync runs restart RUN`; if it stops at the same response, report that \
                 response to Salla"
            }
            Self::TooManyRejections { .. } => {
                "check `salla-sync rejected` and report it: the raw records are stored, and \
                 `salla-sync rejected replay` reads them again after an update"
            }
            Self::Unbalanced {
                cause: Imbalance::Moving,
                ..
            } => {
                "everything that was read is stored; `salla-sync runs restart RUN` reads only \
                 these windows again, best when the shop is less busy"
            }
            Self::Unbalanced { .. } => self.advice(),
            Self::Database { cause, .. } => cause.advice_on_a_job(),
            Self::ClocksApart { .. } => {
                "nothing was changed; synchronize the clocks by NTP and check with `salla-sync \
                 doctor`: the run resumes automatically"
            }
            Self::Setup { .. } => {
                "nothing was changed; change what is named here: the work is retried automatically"
            }
            Self::Broken { .. } | Self::TooLarge { .. } | Self::LeaseLost | Self::Bug { .. } => {
                self.advice()
            }
        }
    }

    /// Whether the same command may succeed later without a change.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Database { cause, .. } => *cause == DatabaseCause::Unavailable,
            _ => self.resumes_by_itself(),
        }
    }

    /// Whether the run stays as it is and the next start resumes it, as opposed to ending FAILED.
    pub fn resumes_by_itself(&self) -> bool {
        match self {
            Self::Transient { .. }
            | Self::Throttled { .. }
            | Self::Database { .. }
            | Self::ClocksApart { .. }
            | Self::Setup { .. }
            | Self::LeaseLost
            | Self::Stopped => true,
            Self::Disconnected(_)
            | Self::Broken { .. }
            | Self::NotJson { .. }
            | Self::TooLarge { .. }
            | Self::TooManyRejections { .. }
            | Self::Unbalanced { .. }
            | Self::Bug { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_failures_have_the_same_code() {
        let codes: Vec<&str> = Failure::codes().collect();
        let distinct: std::collections::BTreeSet<&str> = codes.iter().copied().collect();
        assert_eq!(distinct.len(), codes.len(), "{codes:?}");
        assert!(codes.contains(&Failure::LeaseLost.code()));
        assert!(codes.contains(&Failure::from(Disconnection::RefreshLost).code()));
    }

    #[test]
    fn advice_on_a_database_fits_the_cause() {
        let table = [
            (DatabaseCause::Unavailable, "can be reached", true),
            (DatabaseCause::ReadOnly, "writable", false),
            (DatabaseCause::DiskFull, "free space", false),
            (DatabaseCause::Setup, "what is named", false),
            (DatabaseCause::Refused, "PostgreSQL's log", false),
        ];
        for (cause, part, may_pass) in table {
            let failure = Failure::Database {
                message: "storing".to_owned(),
                cause,
            };
            assert!(failure.advice().contains(part), "{cause:?}");
            assert!(failure.advice_on_a_job().contains(part), "{cause:?}");
            assert_eq!(failure.may_pass(), may_pass, "{cause:?}");
            // In every case the run keeps its checkpoint.
            assert!(failure.resumes_by_itself(), "{cause:?}");
        }
    }
}
