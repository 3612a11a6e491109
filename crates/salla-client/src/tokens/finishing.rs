//! Renewals that must not be cut off.
//!
//! A refresh token is spent as soon as it is presented. A process that ends before the new
//! pair is stored loses the shop's connection, so it waits for the renewals under way.

use std::sync::LazyLock;

use tokio::sync::watch;

/// Of the whole process, because that is what ends.
static UNDER_WAY: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// A renewal from the decision to present the token until its answer is there, and a new
/// pair until it is stored.
pub(super) struct UnderWay(());

impl UnderWay {
    pub(super) fn begin() -> Self {
        UNDER_WAY.send_modify(|renewals| *renewals += 1);
        Self(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.send_modify(|renewals| *renewals -= 1);
    }
}

/// Returns as soon as no renewal is under way in this process.
pub async fn renewals_are_over() {
    let mut under_way = UNDER_WAY.subscribe();
    // The sender is never dropped.
    let _ = under_way.wait_for(|renewals| *renewals == 0).await;
}
