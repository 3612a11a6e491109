//! The doors of the import. A port promises in prose what may repeat, run in
//! parallel or be lost, because a signature cannot say that; it carries no type of
//! a vendor.

pub mod accounts;
pub mod api_tokens;
pub mod arrivals;
pub mod audit;
pub mod budgets;
pub mod changed_records;
pub mod claims;
pub mod clock;
pub mod connections;
pub mod connector;
pub mod consents;
pub mod contacts;
pub mod event_tickets;
pub mod introspection;
pub mod inventory;
pub mod jobs;
pub mod landing;
pub mod merchants;
pub mod notifications;
pub mod overview;
pub mod platform;
pub mod privacy;
pub mod processes;
pub mod queue;
pub mod rate_limits;
pub mod records;
pub mod remote;
pub mod runs;
pub mod sessions;
pub mod shops;
pub mod traces;
pub mod webhooks;
