//! A queue in front of something that is given to one request at a time, with priority for a few.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, MutexGuard, Notify};

/// How many of the queue go between two with priority.
const TURNS_BETWEEN_PRIORITY: u32 = 3;

/// First come, first served, because tokio's mutex admits its waiters in the order in
/// which they came. A few that must not wait for the whole queue have priority, but never
/// take more than one turn in four while others wait.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    queue: Mutex<()>,
    foremost: Mutex<()>,
    waiting: AtomicU32,
    /// Turns of the queue since the last one with priority.
    served: AtomicU32,
    moved: Notify,
}

/// Held until whatever was waited for is there; dropped before, nothing was served.
#[derive(Debug)]
pub(crate) struct FairQueueGuard<'a> {
    queue: &'a FairQueue,
    is_priority: bool,
    _foremost: MutexGuard<'a, ()>,
    _entry: Option<(MutexGuard<'a, ()>, Waiter<'a>)>,
}

impl FairQueue {
    pub(crate) async fn enter(&self) -> FairQueueGuard<'_> {
        let waiter = Waiter::new(self);
        let queue = self.queue.lock().await;
        FairQueueGuard {
            queue: self,
            is_priority: false,
            _foremost: self.foremost.lock().await,
            _entry: Some((queue, waiter)),
        }
    }

    /// For a request that holds what those in the queue wait for: only the one whose turn it is
    /// goes before. If such came again and again, the queue would never move.
    pub(crate) async fn enter_first(&self) -> FairQueueGuard<'_> {
        FairQueueGuard {
            queue: self,
            is_priority: false,
            _foremost: self.foremost.lock().await,
            _entry: None,
        }
    }

    pub(crate) async fn enter_priority(&self) -> FairQueueGuard<'_> {
        loop {
            let moved = self.moved.notified();
            let foremost = self.foremost.lock().await;
            if self.priority_allowed() {
                return FairQueueGuard {
                    queue: self,
                    is_priority: true,
                    _foremost: foremost,
                    _entry: None,
                };
            }
            drop(foremost);
            moved.await;
        }
    }

    fn priority_allowed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
            || self.served.load(Ordering::Relaxed) >= TURNS_BETWEEN_PRIORITY
    }
}

impl FairQueueGuard<'_> {
    /// Got what was waited for.
    pub(crate) fn mark_served(&self) {
        if self.is_priority {
            self.queue.served.store(0, Ordering::Relaxed);
        } else {
            self.queue.served.fetch_add(1, Ordering::Relaxed);
            self.queue.moved.notify_waiters();
        }
    }
}

#[derive(Debug)]
struct Waiter<'a>(&'a FairQueue);

impl<'a> Waiter<'a> {
    fn new(queue: &'a FairQueue) -> Self {
        queue.waiting.fetch_add(1, Ordering::Relaxed);
        Self(queue)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Lets them come one after the other while none is served, then serves all.
    async fn order_of(comers: &str) -> String {
        let queue = Arc::new(FairQueue::default());
        let served = Arc::new(std::sync::Mutex::new(String::new()));
        let first = queue.enter().await;
        let mut tasks = Vec::new();
        for comer in comers.chars() {
            let (queue, served) = (queue.clone(), served.clone());
            tasks.push(tokio::spawn(async move {
                let turn = match comer {
                    'p' => queue.enter_priority().await,
                    '1' => queue.enter_first().await,
                    _ => queue.enter().await,
                };
                turn.mark_served();
                served.lock().unwrap().push(comer);
            }));
            tokio::task::yield_now().await;
        }
        first.mark_served();
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        Arc::into_inner(served).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn one_in_four_has_priority_over_a_queue() {
        assert_eq!(order_of("abcdefgh").await, "abcdefgh");
        let order = order_of("abcdefghpp").await;
        assert_eq!(order.replace('p', ""), "abcdefgh");
        let places: Vec<_> = order.match_indices('p').map(|(place, _)| place).collect();
        assert!((2..=3).contains(&places[0]), "{order}");
        assert!((5..=7).contains(&places[1]), "{order}");
    }

    #[tokio::test]
    async fn the_first_goes_before_the_queue() {
        assert_eq!(order_of("abcd11").await, "11abcd");
    }

    #[tokio::test]
    async fn without_a_queue_priority_waits_for_none() {
        assert_eq!(order_of("ppp").await, "ppp");
    }

    #[tokio::test]
    async fn one_that_leaves_the_queue_delays_no_other() {
        let queue = Arc::new(FairQueue::default());
        let held = queue.enter().await;
        let leaving = tokio::spawn({
            let queue = queue.clone();
            async move { drop(queue.enter().await) }
        });
        tokio::task::yield_now().await;
        let past = tokio::spawn({
            let queue = queue.clone();
            async move { queue.enter_priority().await.mark_served() }
        });
        tokio::task::yield_now().await;
        leaving.abort();
        drop(held);
        past.await.unwrap();
    }
}
