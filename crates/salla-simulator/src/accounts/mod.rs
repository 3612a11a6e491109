//! The accounts host: tokens, their families, and the OAuth endpoints.

mod grants;
mod oauth;

pub(crate) use grants::{Grants, Tokens};
pub(crate) use oauth::{CLIENT_ID, CLIENT_SECRET, authorize, introspect, presented, token};
