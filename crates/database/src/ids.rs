//! Ids and names, to SQL and back.

use domain::failure::{DatabaseCause, Failure};
use domain::rejection::RejectionCode;
use domain::resource::Resource;
use importer::ports::queue::JobId;
use jiff::Timestamp;
use uuid::Uuid;

/// An id that sorts by the time at which it was made.
pub(crate) fn new_id(now: Timestamp) -> Uuid {
    let seconds = now.as_second().max(0).cast_unsigned();
    let nanos = now.subsec_nanosecond().max(0).cast_unsigned();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

pub(crate) fn job_id(id: Uuid) -> JobId {
    JobId(id.to_string())
}

/// `None` for an id that this adapter never gave, which names nothing.
pub(crate) fn parse_id(id: &JobId) -> Option<Uuid> {
    Uuid::try_parse(&id.0).ok()
}

pub(crate) fn parse_resource(text: &str) -> Result<Resource, Failure> {
    Resource::parse(text).ok_or_else(|| unknown("resource", text))
}

pub(crate) fn parse_code(text: &str) -> Result<RejectionCode, Failure> {
    RejectionCode::parse(text).ok_or_else(|| unknown("rejection code", text))
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::Database {
        message: format!("the database holds the {what} {name}, which is unknown to this version"),
        cause: DatabaseCause::Setup,
    }
}
