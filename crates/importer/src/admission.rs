//! The memory that all imports of a process share.
//!
//! What Salla answers takes memory from the moment its request is sent until it has
//! landed. One import is bounded by its own line; a thousand of them are not, and with
//! that many the database sets the pace and not Salla. So a request takes room before it
//! is sent, as much as its kind of answer usually weighs; while the answer is read and once
//! it is there, the room grows with it; and the fetch that it is part of keeps the room until
//! its landing has ended.
//!
//! What waits to be sent takes memory as well, if less: so the fewer of a line's requests
//! wait, the more lines there are.
//!
//! Nobody waits for room while an answer is being read: one that outgrows its room and finds
//! none is given up, and asked for again once there is room for the greatest. Whoever has
//! nothing in hand waits with empty hands, in turn. Whoever has an answer already and needs a
//! second one waits with it, for the common room or for the *reserve*, which is always enough
//! for one greatest fetch and which nobody needs who has it: so there is always one that gets
//! on, whatever all others hold. Nor does anybody keep room while a budget is waited for that
//! may take a minute, except for what is in hand: a small order that waits so for its items is
//! all that is in memory without room.

mod weight;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use weight::{Load, MAX_BYTES, MAX_CUSTOMER_BYTES, Size};

/// The room for all answers of a process, in kibibytes: 1,280 usual records or 32 usual pages.
const ROOM: u32 = 80 << 10;

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
    static OF_THIS_FETCH: Cell<Option<Room>>;
}

/// Room for requests and answers; clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    answers: Arc<Semaphore>,
    /// For one fetch of all that have something in hand.
    reserve: Arc<Semaphore>,
    /// For one page of customers that is not small. It may wait for minutes for its budget.
    customers: Arc<Semaphore>,
    lines: AtomicUsize,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Shared {
            answers: Arc::new(Semaphore::new(ROOM as usize)),
            reserve: Arc::new(Semaphore::new(1)),
            customers: Arc::new(Semaphore::new(1)),
            lines: AtomicUsize::new(0),
        }))
    }
}

/// How much room a request needs for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub size: Size,
    expected: Load,
    greatest: bool,
}

impl Need {
    /// For an answer that is as long as those before it were.
    pub fn usual(size: Size, expected_bytes: usize) -> Self {
        Self {
            size,
            expected: Load::of_bytes(expected_bytes.min(size.max_bytes())),
            greatest: false,
        }
    }

    /// For an answer that has outgrown its room.
    pub fn greatest(size: Size) -> Self {
        Self {
            greatest: true,
            ..Self::usual(size, 0)
        }
    }

    pub fn is_greatest(self) -> bool {
        self.greatest
    }

    /// Together with what is in hand.
    fn weight(self, in_hand: Load) -> u32 {
        match self.greatest {
            true => self.size.most(),
            false => in_hand
                .plus(self.expected)
                .weight(self.size)
                .min(self.size.most()),
        }
    }
}

impl Memory {
    /// Waits until there is room.
    pub async fn room(&self, need: Need) -> Room {
        self.enough(Room::none(), need).await
    }

    /// Waits until there is as much room as is needed, with what is in hand.
    pub async fn enough(&self, mut room: Room, need: Need) -> Room {
        let lacking = room.lacks(need);
        let common = self.0.answers.clone().acquire_many_owned(lacking);
        if !room.has_in_hand() {
            // Nobody closes it, so there always is a permit.
            room.take(common.await.ok());
            return room;
        }
        let reserve = self.0.reserve.clone().acquire_owned();
        tokio::select! {
            biased;
            common = common => room.take(common.ok()),
            reserve = reserve => room.reserve = reserve.ok(),
        }
        room
    }

    /// Room where nobody has to be waited for; otherwise what was there.
    pub fn enough_now(&self, mut room: Room, need: Need) -> Result<Room, Room> {
        let lacking = room.lacks(need);
        if lacking == 0 {
            return Ok(room);
        }
        if let Ok(common) = self.0.answers.clone().try_acquire_many_owned(lacking) {
            room.take(Some(common));
            return Ok(room);
        }
        if room.has_in_hand()
            && let Ok(reserve) = self.0.reserve.clone().try_acquire_owned()
        {
            room.reserve = Some(reserve);
            return Ok(room);
        }
        Err(room)
    }

    /// Room where nobody has to be waited for.
    pub fn room_now(&self, size: Size) -> Option<Room> {
        self.enough_now(Room::none(), Need::usual(size, 0)).ok()
    }

    /// Waits until no other page of customers that is not small is under way.
    pub async fn for_customers(&self) -> Room {
        Room {
            reserve: self.0.customers.clone().acquire_owned().await.ok(),
            ..Room::none()
        }
    }

    /// Whether half of the room is free. Then something may be kept until later, and whoever
    /// waits for room still gets on.
    pub fn has_plenty(&self) -> bool {
        self.0.answers.available_permits() >= ROOM as usize / 2
    }

    /// To be asked by each line for as long as it lasts.
    pub fn share(&self) -> Share {
        self.0.lines.fetch_add(1, Ordering::Relaxed);
        Share(self.0.clone())
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
pub struct Room {
    common: Option<OwnedSemaphorePermit>,
    /// Enough for whatever may be read.
    reserve: Option<OwnedSemaphorePermit>,
    /// Answers that this fetch has already.
    in_hand: Load,
    /// The answer that is being read, or was read last.
    answer: Load,
}

/// What becomes of an answer that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Fits,
    /// It has to be asked for again with more room.
    Outgrown,
    /// No room is enough.
    TooLarge,
}

impl Room {
    /// For what needs none.
    pub fn none() -> Self {
        Self {
            common: None,
            reserve: None,
            in_hand: Load::default(),
            answer: Load::default(),
        }
    }

    /// What the fetch that is running has already; it is no longer the fetch's.
    pub fn of_this_fetch() -> Option<Self> {
        OF_THIS_FETCH.try_with(Cell::take).ok()?
    }

    /// Leaves the room to the fetch that is running, for what the answer has brought.
    /// Outside of a fetch nobody waits for a landing, and it is given back.
    pub fn keep(self) {
        // An error means that there is no fetch; the room is gone with its closure.
        let _ = OF_THIS_FETCH.try_with(|held| held.set(Some(self)));
    }

    /// The answer that was read last belongs to what is in hand: another one is asked for.
    pub fn answer_is_in_hand() {
        if let Some(mut room) = Self::of_this_fetch() {
            room.in_hand = room.in_hand.plus(std::mem::take(&mut room.answer));
            room.keep();
        }
    }

    /// Gives back what the answer has taken that was read last and is of no use.
    pub fn forget_answer() {
        if let Some(room) = Self::of_this_fetch().and_then(Self::without_answer) {
            room.keep();
        }
    }

    /// What is kept while a budget is waited for that may take a minute.
    pub fn without_answer(mut self) -> Option<Self> {
        if !self.has_in_hand() {
            return None;
        }
        self.answer = Load::default();
        self.shrink(Size::Record);
        Some(self)
    }

    /// Whether more is in hand than may be in memory without room.
    fn has_in_hand(&self) -> bool {
        !self.in_hand.is_included(Size::Record)
    }

    fn capacity(&self) -> u32 {
        let common = self.common.as_ref().map_or(0, |held| held.num_permits());
        u32::try_from(common).unwrap_or(u32::MAX)
    }

    pub fn is_enough(&self, need: Need) -> bool {
        self.lacks(need) == 0
    }

    fn lacks(&self, need: Need) -> u32 {
        match self.reserve {
            Some(_) => 0,
            None => need.weight(self.in_hand).saturating_sub(self.capacity()),
        }
    }

    fn take(&mut self, more: Option<OwnedSemaphorePermit>) {
        match (&mut self.common, more) {
            (Some(common), Some(more)) => common.merge(more),
            (None, more) => self.common = more,
            (Some(_), None) => {}
        }
    }

    /// The answer is as large as this by now, and becomes larger.
    pub fn grow(&mut self, memory: &Memory, size: Size, answer: Load) -> Growth {
        self.answer = answer;
        let weight = self.in_hand.plus(answer).weight(size);
        if weight > size.most() {
            return Growth::TooLarge;
        }
        let lacking = weight.saturating_sub(self.capacity());
        if self.reserve.is_some() || lacking == 0 {
            return Growth::Fits;
        }
        match memory.0.answers.clone().try_acquire_many_owned(lacking) {
            Ok(more) => {
                self.take(Some(more));
                Growth::Fits
            }
            Err(_) => Growth::Outgrown,
        }
    }

    /// Gives back what the answers do not take after all.
    pub fn shrink(&mut self, size: Size) {
        let weight = self.in_hand.plus(self.answer).weight(size);
        if self.capacity() >= weight {
            self.reserve = None;
        }
        let surplus = self.capacity().saturating_sub(weight);
        if let Some(common) = &mut self.common {
            drop(common.split(surplus as usize));
        }
    }
}

/// Whether a fetch is running here.
pub fn is_fetching() -> bool {
    OF_THIS_FETCH.try_with(|_| ()).is_ok()
}

/// Runs a fetch; what it brought is in memory until the room that comes with it is
/// dropped.
pub async fn fetching<T>(fetch: impl Future<Output = T>) -> (T, Room) {
    let fetch = async {
        let value = fetch.await;
        (
            value,
            OF_THIS_FETCH.with(Cell::take).unwrap_or_else(Room::none),
        )
    };
    OF_THIS_FETCH.scope(Cell::new(None), fetch).await
}

#[cfg(test)]
mod tests;
