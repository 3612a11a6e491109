//! The accounts host: tokens, their families, and the OAuth endpoints.

mod grants;
mod introspection;
mod oauth;

pub(crate) use grants::{Grants, Tokens};
pub(crate) use introspection::introspect;
pub(crate) use oauth::{CLIENT_ID, CLIENT_SECRET, authorize, presented, token};
