//! A request to stop, seen by everything that works on a run.

use std::time::Duration;

use tokio::sync::watch;

use crate::ports::clock::Clock;

/// The side that requests a stop.
#[derive(Debug)]
pub struct StopHandle(watch::Sender<bool>);

/// The side that obeys; cheap to clone.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<bool>);

pub fn stop_pair() -> (StopHandle, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (StopHandle(sender), StopSignal(receiver))
}

impl StopHandle {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl StopSignal {
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when a stop was requested; never, if the requesting side is gone without a request.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a stop has been requested for `duration`.
    pub async fn requested_for(&self, clock: &dyn Clock, duration: Duration) {
        self.requested().await;
        clock.sleep(duration).await;
    }
}
