//! The doors of the import. A port promises in prose what may repeat, run in
//! parallel or be lost, because a signature cannot say that; it carries no type of
//! a vendor.

pub mod api_access;
pub mod audit;
pub mod changed_records;
pub mod claims;
pub mod clock;
pub mod connections;
pub mod consents;
pub mod contacts;
pub mod inspection;
pub mod jobs;
pub mod landing;
pub mod merchants;
pub mod notifications;
pub mod overview;
pub mod platform;
pub mod privacy;
pub mod queue;
pub mod records;
pub mod runs;
pub mod sessions;
pub mod shared_budget;
pub mod webhooks;
