use futures::FutureExt as _;

use super::*;

const RECORD: Need = Need {
    size: Size::Record,
    expected: Load::of_bytes(0),
    greatest: false,
};
const PAGE: Need = Need {
    size: Size::Page,
    ..RECORD
};

fn free(memory: &Memory) -> usize {
    memory.0.answers.available_permits()
}

fn taken(memory: &Memory) -> usize {
    ROOM as usize - free(memory)
}

#[tokio::test]
async fn room_is_kept_until_the_landing_and_taken_once_by_a_fetch() {
    let memory = Memory::default();
    let (value, room) = fetching(async {
        assert!(Room::of_this_fetch().is_none());
        memory.room(RECORD).await.keep();
        Room::of_this_fetch().unwrap().keep();
        7
    })
    .await;
    assert_eq!((value, taken(&memory)), (7, 64));
    drop(room);
    assert_eq!(taken(&memory), 0);
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
    let ((), _room) = fetching(async { drop(memory.room(PAGE).await) }).await;
    assert_eq!(taken(&memory), 0);
    memory.room(PAGE).await.keep();
    assert_eq!(taken(&memory), 0);
}

#[tokio::test]
async fn whoever_finds_no_room_waits_until_something_has_landed() {
    let memory = Memory::default();
    let mut rooms = Vec::new();
    for _ in 0..32 {
        let page = fetching(async { memory.room(PAGE).await.keep() });
        rooms.push(page.await.1);
    }
    assert!(memory.room(RECORD).now_or_never().is_none());
    rooms.pop();
    assert!(memory.room(RECORD).now_or_never().is_some());
}

#[test]
fn an_answer_takes_what_it_weighs_and_not_more_than_there_is() {
    let memory = Memory::default();
    let mut others = memory.room_now(Size::Page).unwrap();
    let small = memory.room_now(Size::Record).unwrap();
    let before = taken(&memory);
    let mut room = memory.room_now(Size::Page).unwrap();
    let mut grow = |bytes: usize| room.grow(&memory, Size::Page, Load::of_bytes(bytes));
    assert_eq!(grow(512 << 10), Growth::Fits);
    assert_eq!(taken(&memory), before + 2_560);
    assert_eq!(grow(1 << 20), Growth::Fits);
    assert_eq!(taken(&memory), before + 5_120);
    assert_eq!(grow(MAX_BYTES), Growth::Fits);
    assert_eq!(grow(MAX_BYTES + 1_024), Growth::TooLarge);

    let grown = others.grow(&memory, Size::Page, Load::of_bytes(MAX_BYTES));
    assert_eq!(grown, Growth::Outgrown);
    assert_eq!(others.capacity(), 2_560, "what it has is not taken from it");
    let greatest = Need::greatest(Size::Page);
    drop(others);
    assert!(memory.room(greatest).now_or_never().is_none());
    drop(room);
    let mut room = memory.room(greatest).now_or_never().unwrap();
    let fits = room.grow(&memory, Size::Page, Load::of_bytes(MAX_BYTES));
    assert_eq!(fits, Growth::Fits);
    room.grow(&memory, Size::Page, Load::of_bytes(600 << 10));
    room.shrink(Size::Page);
    drop(small);
    assert_eq!(taken(&memory), 2_560 + 88 * 5);
}

/// A fetch whose first answer is so large that it stays in hand.
fn with_detail(memory: &Memory, bytes: usize) -> Option<Room> {
    let mut room = memory.room_now(Size::Record)?;
    let fits = room.grow(memory, Size::Record, Load::of_bytes(bytes));
    (fits == Growth::Fits).then_some(())?;
    room.in_hand = std::mem::take(&mut room.answer);
    Some(room)
}

#[tokio::test]
async fn those_with_something_in_hand_get_on_one_after_the_other_whatever_all_hold() {
    let memory = Memory::default();
    let mut fetches: Vec<Room> = std::iter::from_fn(|| with_detail(&memory, 1 << 20)).collect();
    assert!(fetches.len() > 10);
    let greatest = Need::greatest(Size::Record);
    let second = fetches.pop().unwrap();
    let first = memory.enough(fetches.pop().unwrap(), greatest);
    let mut first = first.now_or_never().expect("the reserve is there for one");
    let mut waits = Box::pin(memory.enough(second, greatest));
    assert!((&mut waits).now_or_never().is_none());
    assert!(memory.enough_now(fetches.pop().unwrap(), greatest).is_err());
    let all = Load::of_bytes(7 << 20);
    assert_eq!(first.grow(&memory, Size::Record, all), Growth::Fits);
    let too_much = first.grow(&memory, Size::Record, Load::of_bytes(MAX_BYTES));
    assert_eq!(too_much, Growth::TooLarge, "both answers together");
    drop(first);
    assert!(waits.now_or_never().is_some());
}

#[tokio::test]
async fn while_a_budget_is_waited_for_only_what_is_in_hand_is_kept() {
    let memory = Memory::default();
    for (bytes, kept) in [(7 << 10, 0), (1 << 20, 64 + 5 * (1_024 - 16))] {
        let ((), room) = fetching(async {
            let mut room = memory.room(Need::greatest(Size::Record)).await;
            room.grow(&memory, Size::Record, Load::of_bytes(bytes));
            room.keep();
            Room::answer_is_in_hand();
            let mut room = Room::of_this_fetch().unwrap();
            room.grow(&memory, Size::Record, Load::of_bytes(2 << 20));
            room.keep();
            Room::forget_answer();
        })
        .await;
        assert_eq!(taken(&memory), kept, "{bytes}");
        drop(room);
        assert_eq!(taken(&memory), 0);
    }
}
