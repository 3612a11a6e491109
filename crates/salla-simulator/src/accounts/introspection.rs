//! `/exchange-authority/v1/introspect`: whose a token of the dashboard is
//! (docs.salla.dev/embedded-sdk).

use super::grants::Grants;
use crate::api::{Answer, ClientRequest, Query};
use crate::clock::SECOND;
use crate::platform::Platform;
use crate::scenario::Scenario;
use jiff::Timestamp;
use std::sync::Mutex;

/// The person who looks at every dashboard here.
const PERSON: i64 = 77_001;

pub(crate) fn introspect(
    request: &ClientRequest,
    now: i64,
    grants: &Mutex<Grants>,
    platform: &Platform,
    scenario: &Scenario,
) -> Answer {
    let fields = Query::from_json(&request.body);
    let token = fields.as_ref().and_then(|fields| fields.get("token"));
    let known = token.and_then(|token| crate::locked(grants).introspect(token).cloned());
    let shop = known
        .filter(|known| known.app == request.source && known.expires_at > now)
        .and_then(|known| Some((platform.shop(known.shop)?, known.expires_at)));
    let Some((shop, expires_at)) = shop else {
        return Answer::refused_introspection(scenario.embedded.refusal_status);
    };
    let end = Timestamp::from_second(expires_at / SECOND).unwrap_or_default();
    let body = serde_json::json!({
        "status": 200,
        "success": true,
        "data": { "merchant_id": shop.shop.id, "user_id": PERSON, "exp": end.to_string() },
    });
    Answer::json(200, body.to_string())
}
