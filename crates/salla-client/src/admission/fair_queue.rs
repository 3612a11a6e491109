//! The line in front of something that is given to one at a time, with a way past it.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, MutexGuard, Notify};

/// So many of the line go between two that go past it.
const BETWEEN: u32 = 3;

/// First come, first served, because tokio's mutex lets its waiters in in the order in
/// which they came. A few who must not wait for the whole line go past it, but never
/// take more than one turn in four while somebody stands in it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    line: Mutex<()>,
    foremost: Mutex<()>,
    standing: AtomicU32,
    /// Turns of the line since the last one that went past it.
    served: AtomicU32,
    moved: Notify,
}

/// Held until whatever was waited for is there; dropped before, nothing was served.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    line: &'a Line,
    past: bool,
    _foremost: MutexGuard<'a, ()>,
    _line: Option<(MutexGuard<'a, ()>, Standing<'a>)>,
}

impl Line {
    pub(crate) async fn wait(&self) -> Turn<'_> {
        let standing = Standing::in_line(self);
        let line = self.line.lock().await;
        Turn {
            line: self,
            past: false,
            _foremost: self.foremost.lock().await,
            _line: Some((line, standing)),
        }
    }

    /// For whoever holds what those in the line wait for: only whoever is foremost goes
    /// before. If such came again and again, the line would never move.
    pub(crate) async fn go_first(&self) -> Turn<'_> {
        Turn {
            line: self,
            past: false,
            _foremost: self.foremost.lock().await,
            _line: None,
        }
    }

    pub(crate) async fn go_past(&self) -> Turn<'_> {
        loop {
            let moved = self.moved.notified();
            let foremost = self.foremost.lock().await;
            if self.lets_past() {
                return Turn {
                    line: self,
                    past: true,
                    _foremost: foremost,
                    _line: None,
                };
            }
            drop(foremost);
            moved.await;
        }
    }

    fn lets_past(&self) -> bool {
        self.standing.load(Ordering::Relaxed) == 0 || self.served.load(Ordering::Relaxed) >= BETWEEN
    }
}

impl Turn<'_> {
    /// Got what was waited for.
    pub(crate) fn served(&self) {
        if self.past {
            self.line.served.store(0, Ordering::Relaxed);
        } else {
            self.line.served.fetch_add(1, Ordering::Relaxed);
            self.line.moved.notify_waiters();
        }
    }
}

#[derive(Debug)]
struct Standing<'a>(&'a Line);

impl<'a> Standing<'a> {
    fn in_line(line: &'a Line) -> Self {
        line.standing.fetch_add(1, Ordering::Relaxed);
        Self(line)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.standing.fetch_sub(1, Ordering::Relaxed);
        self.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Lets them come one after the other while nobody is served, then serves all.
    async fn order_of(comers: &str) -> String {
        let line = Arc::new(Line::default());
        let served = Arc::new(std::sync::Mutex::new(String::new()));
        let first = line.wait().await;
        let mut tasks = Vec::new();
        for comer in comers.chars() {
            let (line, served) = (line.clone(), served.clone());
            tasks.push(tokio::spawn(async move {
                let turn = match comer {
                    'p' => line.go_past().await,
                    '1' => line.go_first().await,
                    _ => line.wait().await,
                };
                turn.served();
                served.lock().unwrap().push(comer);
            }));
            tokio::task::yield_now().await;
        }
        first.served();
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        Arc::into_inner(served).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn one_in_four_goes_past_a_line() {
        assert_eq!(order_of("abcdefgh").await, "abcdefgh");
        let order = order_of("abcdefghpp").await;
        assert_eq!(order.replace('p', ""), "abcdefgh");
        let places: Vec<_> = order.match_indices('p').map(|(place, _)| place).collect();
        assert!((2..=3).contains(&places[0]), "{order}");
        assert!((5..=7).contains(&places[1]), "{order}");
    }

    #[tokio::test]
    async fn who_goes_first_goes_before_the_line() {
        assert_eq!(order_of("abcd11").await, "11abcd");
    }

    #[tokio::test]
    async fn without_a_line_nobody_waits_for_it() {
        assert_eq!(order_of("ppp").await, "ppp");
    }

    #[tokio::test]
    async fn who_leaves_the_line_holds_up_nobody() {
        let line = Arc::new(Line::default());
        let held = line.wait().await;
        let leaving = tokio::spawn({
            let line = line.clone();
            async move { drop(line.wait().await) }
        });
        tokio::task::yield_now().await;
        let past = tokio::spawn({
            let line = line.clone();
            async move { line.go_past().await.served() }
        });
        tokio::task::yield_now().await;
        leaving.abort();
        drop(held);
        past.await.unwrap();
    }
}
