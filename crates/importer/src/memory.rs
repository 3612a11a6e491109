//! The memory that all imports of a process share.
//!
//! What Salla answers takes memory from the moment its request is sent until it has
//! landed. One import is bounded by its own line; a thousand of them are not, and with
//! that many the database sets the pace and not Salla. So a request takes room before it
//! is sent, and the fetch that it is part of keeps the room until its landing has ended.
//!
//! What waits to be sent takes memory as well, if less: so the fewer of a line's requests
//! wait, the more lines there are.
//!
//! Nobody who has room waits for more: a fetch has room once, however many requests it
//! makes. So whatever has room gets on with nothing but Salla and the database, and
//! those who wait are let in. Nor does anybody keep room while a budget is waited for
//! that may take a minute: an order that waits so for its items is all that is in memory
//! without room.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Single records of a process that are in memory at once; one takes some tens of kilobytes.
const RECORDS: u32 = 1_280;

/// A page of 60 whole orders takes a megabyte or two.
const RECORDS_PER_PAGE: u32 = 40;

/// Requests of a process that are under way at once, waiting or sent, as long as that is
/// enough for each line to have [`LEAST_IN_FLIGHT`]. One takes some ten kilobytes.
const IN_FLIGHT: usize = 4_096;

/// Requests that a single line has under way at most, so that whatever Salla leaves of a
/// minute is asked for within a few seconds of it: no later minute makes up for the one
/// request a second that is lost meanwhile. The client's budget and its concurrency
/// limit decide how many are really sent.
const MOST_IN_FLIGHT: usize = 96;

const LEAST_IN_FLIGHT: usize = 6;

tokio::task_local! {
    /// What the requests of the fetch that is running here have taken.
    static OF_THIS_FETCH: Cell<Option<OwnedSemaphorePermit>>;
}

/// Room for requests and answers; clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    answers: Arc<Semaphore>,
    lines: AtomicUsize,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Shared {
            answers: Arc::new(Semaphore::new(RECORDS as usize)),
            lines: AtomicUsize::new(0),
        }))
    }
}

/// What an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Record,
    Page,
}

impl Memory {
    /// Waits until there is room.
    pub async fn room(&self, size: Size) -> Room {
        // Nobody closes it, so there always is a permit.
        Room(self.answers().acquire_many_owned(size.records()).await.ok())
    }

    /// Room where nobody has to be waited for.
    pub fn room_now(&self, size: Size) -> Option<Room> {
        let room = self.answers().try_acquire_many_owned(size.records()).ok()?;
        Some(Room(Some(room)))
    }

    /// To be asked by each line for as long as it lasts.
    pub fn share(&self) -> Share {
        self.0.lines.fetch_add(1, Ordering::Relaxed);
        Share(self.0.clone())
    }

    fn answers(&self) -> Arc<Semaphore> {
        self.0.answers.clone()
    }
}

impl Size {
    fn records(self) -> u32 {
        match self {
            Self::Record => 1,
            Self::Page => RECORDS_PER_PAGE,
        }
    }
}

/// One line's share of the requests that are under way.
#[derive(Debug)]
pub struct Share(Arc<Shared>);

impl Share {
    /// How many requests this line may have under way at the moment.
    pub fn in_flight(&self) -> usize {
        let lines = self.0.lines.load(Ordering::Relaxed).max(1);
        (IN_FLIGHT / lines).clamp(LEAST_IN_FLIGHT, MOST_IN_FLIGHT)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.lines.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Room that is given back when it is dropped.
#[derive(Debug)]
pub struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// For what needs none.
    pub fn none() -> Self {
        Self(None)
    }

    /// What the fetch that is running has already; it is no longer the fetch's.
    pub fn of_this_fetch() -> Option<Self> {
        let held = OF_THIS_FETCH.try_with(Cell::take).ok()?;
        held.map(|room| Self(Some(room)))
    }

    /// Leaves the room to the fetch that is running, for what the answer has brought.
    /// Outside of a fetch nobody waits for a landing, and it is given back.
    pub fn keep(self) {
        if let Some(room) = self.0 {
            // An error means that there is no fetch; the room is gone with its closure.
            let _ = OF_THIS_FETCH.try_with(|held| held.set(Some(room)));
        }
    }
}

/// Runs a fetch; what it brought is in memory until the room that comes with it is
/// dropped.
pub async fn fetching<T>(fetch: impl Future<Output = T>) -> (T, Room) {
    let fetch = async {
        let value = fetch.await;
        (value, Room(OF_THIS_FETCH.with(Cell::take)))
    };
    OF_THIS_FETCH.scope(Cell::new(None), fetch).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn free(memory: &Memory) -> usize {
        memory.answers().available_permits()
    }

    #[tokio::test]
    async fn room_is_kept_until_the_landing_and_taken_once_by_a_fetch() {
        let memory = Memory::default();
        let all = free(&memory);
        let (value, room) = fetching(async {
            assert!(Room::of_this_fetch().is_none());
            memory.room(Size::Record).await.keep();
            Room::of_this_fetch().unwrap().keep();
            7
        })
        .await;
        assert_eq!((value, free(&memory)), (7, all - 1));
        drop(room);
        assert_eq!(free(&memory), all);
    }

    #[test]
    fn the_more_lines_the_fewer_requests_of_each_are_under_way() {
        let memory = Memory::default();
        let first = memory.share();
        assert_eq!(first.in_flight(), 96);
        let others: Vec<_> = (1..192).map(|_| memory.share()).collect();
        assert_eq!(first.in_flight(), 21);
        let more: Vec<_> = (0..10_000).map(|_| memory.share()).collect();
        assert_eq!(first.in_flight(), LEAST_IN_FLIGHT);
        drop((others, more));
        assert_eq!(first.in_flight(), 96);
    }

    #[tokio::test]
    async fn what_failed_or_belongs_to_no_fetch_gives_its_room_back() {
        let memory = Memory::default();
        let all = free(&memory);
        let ((), _room) = fetching(async { drop(memory.room(Size::Page).await) }).await;
        assert_eq!(free(&memory), all);
        memory.room(Size::Page).await.keep();
        assert_eq!(free(&memory), all);
    }

    #[tokio::test]
    async fn whoever_finds_no_room_waits_until_something_has_landed() {
        let memory = Memory::default();
        let mut rooms = Vec::new();
        for _ in 0..RECORDS / RECORDS_PER_PAGE {
            let page = fetching(async { memory.room(Size::Page).await.keep() });
            rooms.push(page.await.1);
        }
        assert!(memory.room(Size::Record).now_or_never().is_none());
        rooms.pop();
        assert!(memory.room(Size::Record).now_or_never().is_some());
    }
}
