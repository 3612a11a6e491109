//! What an answer means for the request that asked for it.

use domain::failure::{Disconnection, Failure};
use importer::memory::Need;

use super::attempt::Attempt;
use super::trouble::{self, Trouble};
use super::{Ask, Fetched, Journey, Next, Requester, STORE_INFO, Step, store_info};
use crate::classify::{RetryReason, Verdict, after_split};
use crate::envelope::EnvelopeError;
use crate::lenient::mend;
use crate::tokens::AccessToken;

/// Renewing tokens of which none has served anything more often than this within one request
/// cannot help.
const MOST_FUTILE_RENEWALS: u32 = 6;

/// A request may meet the ends of many tokens' lives, where they serve fewer requests than are
/// under way. From the third on, Salla has to reject the token elsewhere too before it is
/// renewed: an endpoint that takes no token spends no more of them.
const UNQUESTIONED_RENEWALS: u32 = 3;

/// Bounds what a request costs in all.
const MOST_RENEWALS: u32 = 100;

/// Reads a body; one that is no JSON because of a few bytes is mended first, since it
/// would come again as it is.
fn read_or_mend<T>(
    ask: &Ask,
    body: &[u8],
    read: &impl Fn(&[u8]) -> Result<T, EnvelopeError>,
) -> Result<T, EnvelopeError> {
    let refused = match read(body) {
        Err(EnvelopeError::NotJson) => EnvelopeError::NotJson,
        done => return done,
    };
    let mended = mend(body).ok_or(refused)?;
    let value = read(mended.as_bytes())?;
    tracing::warn!(
        what = ask.what,
        "the answer holds bytes that are no JSON; they were replaced, and the rest was read"
    );
    Ok(value)
}

impl Requester {
    /// Decides what an attempt means for the request.
    pub(super) async fn judge<T>(
        &self,
        ask: &Ask,
        attempt: Attempt,
        read: &impl Fn(&[u8]) -> Result<T, EnvelopeError>,
        journey: &mut Journey,
    ) -> Result<Step<T>, Failure> {
        let (verdict, body) = match attempt.outcome {
            Err(trouble) => return Ok(Step::Next(Next::Failed(trouble, None))),
            Ok((Verdict::Success, body)) => match read_or_mend(ask, &body, read) {
                Ok(value) => {
                    let version = attempt.version;
                    self.tokens_served.note(&attempt.token);
                    return Ok(Step::Done(Some(Fetched { value, version })));
                }
                Err(error) => match after_split(error) {
                    // Seen behind proxies that answer in Salla's place: worth a retry.
                    Verdict::Broken { what } => {
                        return Ok(Step::Next(Next::Failed(Trouble::Broken(what), None)));
                    }
                    verdict => (verdict, body),
                },
            },
            Ok(judged) => judged,
        };
        match verdict {
            Verdict::Gone => return Ok(Step::Done(None)),
            Verdict::RetryLater {
                why: RetryReason::NotJson,
                retry_after,
            } => {
                let trouble = Trouble::NotJson {
                    status: attempt.status.map_or(0, |(status, _)| status),
                    content_type: attempt.content_type,
                    body,
                };
                return Ok(Step::Next(Next::Failed(trouble, retry_after)));
            }
            _ => {}
        }
        // In a place of its own: it is rare, and every request has room for its judgement
        // while it waits.
        let reaction = self.react(ask, verdict, &attempt.token, journey);
        Ok(Step::Next(Box::pin(reaction).await?))
    }

    async fn react(
        &self,
        ask: &Ask,
        verdict: Verdict,
        token: &AccessToken,
        journey: &mut Journey,
    ) -> Result<Next, Failure> {
        match verdict {
            Verdict::RetryLater { why, retry_after } => {
                Ok(Next::Failed(Trouble::Passing(why.to_string()), retry_after))
            }
            Verdict::Throttled { .. } => Ok(Next::Throttled),
            Verdict::Blocked { .. } => {
                tracing::warn!(
                    what = ask.what,
                    "Salla has blocked the app for a while (403)"
                );
                Ok(Next::Throttled)
            }
            Verdict::TokenRejected if journey.renewals >= UNQUESTIONED_RENEWALS => {
                self.find_out(ask, token, journey).await
            }
            Verdict::TokenRejected => self.renew(token, journey).await,
            Verdict::Unauthorised401Unknown => self.find_out(ask, token, journey).await,
            Verdict::ScopeMissing { scopes } => {
                tracing::warn!(
                    what = ask.what,
                    ?scopes,
                    "the app lacks one of these scopes"
                );
                Err(Disconnection::ScopeMissing.into())
            }
            Verdict::Inactive => Err(Disconnection::ShopInactive.into()),
            Verdict::Forbidden => Err(Disconnection::Forbidden.into()),
            Verdict::Invalid { code, fields, .. } => {
                Err(trouble::invalid(&ask.what, code, &fields))
            }
            Verdict::Broken { what } => Err(Failure::Broken {
                what: format!("{}: {what}", ask.what),
            }),
            Verdict::Success | Verdict::Gone => Err(Failure::Bug {
                what: format!("{}: an answer was judged twice", ask.what),
            }),
        }
    }

    /// A 401 that does not say why: if `GET /store/info` accepts the token, a scope is
    /// missing. Refreshing then would spend a single-use token for nothing
    /// (docs/salla-api.md#envelopes-and-errors).
    async fn find_out(
        &self,
        ask: &Ask,
        token: &AccessToken,
        journey: &mut Journey,
    ) -> Result<Next, Failure> {
        if ask.path == STORE_INFO {
            return self.renew(token, journey).await;
        }
        let probe = store_info();
        let need = Need::usual(probe.size(), 0);
        let probe = self.attempt_with(&probe, need, Some(token)).await?;
        match probe.outcome {
            Ok((Verdict::Success, _)) => Err(Disconnection::ScopeMissing.into()),
            Ok((Verdict::TokenRejected | Verdict::Unauthorised401Unknown, _)) => {
                self.renew(token, journey).await
            }
            Ok((Verdict::Inactive, _)) => Err(Disconnection::ShopInactive.into()),
            Ok((Verdict::Throttled { .. } | Verdict::Blocked { .. }, _)) => Ok(Next::Throttled),
            Ok(_) => Ok(Next::Failed(Trouble::unexplained_401(), None)),
            Err(trouble) => Ok(Next::Failed(trouble, None)),
        }
    }

    async fn renew(&self, token: &AccessToken, journey: &mut Journey) -> Result<Next, Failure> {
        journey.renewals += 1;
        journey.futile_renewals += u32::from(!self.tokens_served.has(token));
        if journey.renewals > MOST_RENEWALS || journey.futile_renewals > MOST_FUTILE_RENEWALS {
            return Err(Disconnection::TokenRejected.into());
        }
        match self.tokens.rejected(token).await {
            Ok(()) => Ok(Next::Again),
            Err(Failure::Transient { what }) => Ok(Next::Failed(Trouble::Passing(what), None)),
            Err(Failure::Throttled { wait }) => {
                let what = Failure::Throttled { wait }.to_string();
                Ok(Next::Failed(Trouble::Passing(what), Some(wait)))
            }
            Err(failure) => Err(failure),
        }
    }
}
