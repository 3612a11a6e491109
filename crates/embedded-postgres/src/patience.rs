//! Waiting without a clock.
//!
//! Time is counted in naps: a laptop that slept through the wait must not
//! conclude that the server was too slow, and no clock has to be passed in.

use std::thread;
use std::time::Duration;

use crate::error::Error;

const NAP: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer; `None` means that patience
/// ran out first.
pub(crate) fn wait_for<T>(
    patience: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let naps = patience.as_millis() / NAP.as_millis();
    for _ in 0..naps {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        thread::sleep(NAP);
    }
    ask()
}
