//! Whose pages are asked for first.

use tokio::sync::watch;

/// The newest orders come first, so that the last month is usable early. All others learn
/// meanwhile how long their lists are, and go on as soon as every page of the newest has been
/// asked for: requests are sent in the order in which they were asked for, so to wait for the
/// answers as well would only leave budget unused.
#[derive(Clone)]
pub enum Precedence {
    /// Those behind wait until all clones of it are gone.
    Ahead(watch::Sender<()>),
    Behind(watch::Receiver<()>),
    /// Nobody waits.
    Free,
}

impl Precedence {
    /// One for those who go ahead and one for those behind them.
    pub fn ahead_and_behind() -> (Self, Self) {
        let (ahead, behind) = watch::channel(());
        (Self::Ahead(ahead), Self::Behind(behind))
    }

    /// Waits for those ahead, if there are any.
    pub(super) async fn come(&mut self) {
        if let Self::Behind(ahead) = self {
            // Nothing is ever sent: it fails once nobody is left who could.
            while ahead.changed().await.is_ok() {}
        }
    }

    /// All that was to be asked for has been asked for.
    pub(super) fn over(&mut self) {
        *self = Self::Free;
    }
}
