//! A point at which an import crashes, or stands still and wakes up as a zombie.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::watch;

use crate::disruption::{Moment, Point};

/// Counts calls by name and stops the one that the point names. The caller that waits for
/// [`Trap::sprung`] decides what that means: drop the import, or [`Trap::release`] it.
#[derive(Debug)]
pub(crate) struct Trap {
    point: Option<Point>,
    counts: Mutex<HashMap<&'static str, u64>>,
    sprung: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Trap {
    pub(crate) fn at(point: Option<Point>) -> Self {
        Self {
            point,
            counts: Mutex::default(),
            sprung: watch::Sender::new(false),
            released: watch::Sender::new(false),
        }
    }

    /// Whether the import may not hold the run yet when it stands still.
    pub(crate) fn is_before_the_claim(&self) -> bool {
        let point = self.point.as_ref();
        point.is_some_and(|point| match point.call {
            "create_or_join" => true,
            "claim" => point.moment != Moment::After,
            _ => false,
        })
    }

    /// Returns once an import stands at the point.
    pub(crate) async fn sprung(&self) {
        let mut sprung = self.sprung.subscribe();
        sprung.wait_for(|sprung| *sprung).await.unwrap();
    }

    /// Lets the import continue.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    pub(crate) async fn around<T>(&self, call: &'static str, work: impl Future<Output = T>) -> T {
        match self.due(call) {
            None => work.await,
            Some(Moment::Before) => {
                self.stand_still().await;
                work.await
            }
            Some(Moment::After) => {
                let done = work.await;
                self.stand_still().await;
                done
            }
            Some(Moment::Amid(waits)) => {
                let mut work = pin!(work);
                let mut waited = 0;
                let early = poll_fn(|context| match work.as_mut().poll(context) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if waited == waits => Poll::Ready(None),
                    Poll::Pending => {
                        waited += 1;
                        Poll::Pending
                    }
                })
                .await;
                self.stand_still().await;
                match early {
                    Some(done) => done,
                    None => work.await,
                }
            }
        }
    }

    fn due(&self, call: &'static str) -> Option<Moment> {
        let point = self.point.as_ref().filter(|point| point.call == call)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(call).or_default();
        *count += 1;
        (*count == point.nth).then_some(point.moment)
    }

    async fn stand_still(&self) {
        self.sprung.send_replace(true);
        let mut released = self.released.subscribe();
        released.wait_for(|released| *released).await.unwrap();
    }
}
