//! Refusals: found where only the body shows them, reported to the budgets, and waited out.

use std::sync::PoisonError;
use std::time::Duration;

use domain::failure::Failure;
use importer::metrics;

use super::attempt::HttpResponse;
use super::{ApiRequest, RequestState, Requester};
use crate::classify::{ResponseKind, RetryReason, classify_envelope_error};
use crate::envelope::{EnvelopeError, split_one};
use crate::lenient::mend;
use crate::pacing::{RateHeaders, ResponseOutcome};

/// What a refusal costs at least, so that their number is bounded.
const MIN_COOLDOWN: Duration = Duration::from_secs(1);

impl Requester {
    /// What a response holds, or what it is instead of a success: Salla documents errors under
    /// status 200, so the body has to be read to know. `sent` is when the request was.
    pub(super) fn read_response<T>(
        &self,
        request: &ApiRequest,
        response: &HttpResponse,
        sent: Duration,
        read: &impl Fn(&[u8]) -> Result<T, EnvelopeError>,
        state: &mut RequestState<'_>,
    ) -> Result<T, ResponseKind> {
        if response.kind != ResponseKind::Success {
            return Err(response.kind.clone());
        }
        let error = match read_or_mend(request, &response.body, read) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let kind = classify_envelope_error(error, response.headers.retry_after);
        self.report_refusal(request, response.headers, &kind, sent, state);
        Err(kind)
    }

    /// What kind of response this is, whose data is not read here. Only an error that Salla
    /// describes makes it another than its status says.
    pub(super) fn kind_of(
        &self,
        request: &ApiRequest,
        response: &HttpResponse,
        sent: Duration,
        state: &mut RequestState<'_>,
    ) -> ResponseKind {
        let read = |body: &[u8]| split_one(body).map(|_| ());
        match self.read_response(request, response, sent, &read, state) {
            Ok(())
            | Err(ResponseKind::Malformed { .. })
            | Err(ResponseKind::RetryLater {
                reason: RetryReason::NotJson,
                ..
            }) => response.kind.clone(),
            Err(kind) => kind,
        }
    }

    /// The budgets have taken the response for an accepted one when its headers came.
    fn report_refusal(
        &self,
        request: &ApiRequest,
        headers: RateHeaders,
        kind: &ResponseKind,
        sent: Duration,
        state: &mut RequestState<'_>,
    ) {
        let outcome = match kind {
            ResponseKind::Throttled { .. } => ResponseOutcome::Throttled,
            ResponseKind::Blocked { .. } => {
                metrics::blocked();
                ResponseOutcome::Blocked
            }
            _ => return,
        };
        // An accepted response ends a row of refusals, so the budgets' own waits would not grow.
        let wait = headers.retry_after;
        let headers = RateHeaders {
            retry_after: Some(wait.unwrap_or_else(|| self.after_refusal(state))),
            ..headers
        };
        self.admission
            .refused_in_body(request.customers, &headers, outcome, sent);
    }

    /// The budget itself waits after a 429 or a block; here it is only bounded, unless no budget
    /// waits. Waiting for a turn beside other requests does not count.
    pub(super) async fn wait_after_refusal(
        &self,
        request: &ApiRequest,
        state: &mut RequestState<'_>,
    ) -> Result<(), Failure> {
        let of_customers = match request.customers {
            true => self.admission.customers.cooldown(),
            false => Duration::ZERO,
        };
        let cooldown = self.admission.shop.cooldown().max(of_customers);
        let own = match cooldown.is_zero() {
            true => self.after_refusal(state),
            false => Duration::ZERO,
        };
        let wait = cooldown.max(own).max(MIN_COOLDOWN);
        if !state.backoff.may_wait(wait) {
            return Err(Failure::Throttled { wait });
        }
        if !own.is_zero() {
            self.clock.sleep(own).await;
        }
        Ok(())
    }

    fn after_refusal(&self, state: &mut RequestState<'_>) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        state.backoff.after_refusal(&mut rng)
    }
}

/// Reads a body; one that is no JSON because of a few bytes is mended first, since it
/// would come again as it is.
fn read_or_mend<T>(
    request: &ApiRequest,
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
        what = request.description,
        "the response has bytes that are not valid JSON; they were replaced, and the rest was read"
    );
    Ok(value)
}
