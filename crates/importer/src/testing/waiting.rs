//! Waiting for what no event announces.

use std::time::Duration;

use crate::ports::clock::{Clock as _, SystemClock};

const MOMENT: Duration = Duration::from_millis(5);

/// Passes between two looks at what is waited for, and leaves the processor to it: looking
/// without a pause takes from it what it needs to get there.
pub async fn a_moment() {
    SystemClock::real().sleep(MOMENT).await;
}
