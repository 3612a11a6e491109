//! Permits, and the requests that they let go.

use std::time::Duration;

use super::settings::Class;
use super::window::Window;

/// Leave to send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PermitId(pub(super) u64);

/// What to do with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it now.
    Go(PermitId),
    /// Ask again then, or when an answer has come.
    WaitUntil(Duration),
    /// Ask again when a request that was permitted is sent, answered or dropped.
    WaitForResponse,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Knowledge {
    /// No answer yet, or none that can be relied on.
    Nothing,
    Window(Window),
    /// Answers carry no rate headers.
    Bare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The first of a process, or of a time after a refusal.
    Alone,
    /// Within what is left.
    Burst,
    /// The one request a second after exhaustion.
    Overflow,
    /// The first after a reset.
    Probe,
}

/// A request that was permitted and has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) id: PermitId,
    pub(super) class: Class,
    pub(super) mode: Mode,
    pub(super) sent: Option<Duration>,
}
