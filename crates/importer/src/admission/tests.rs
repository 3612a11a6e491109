use futures::FutureExt as _;

use super::*;

const RECORD: Need = Need {
    size: ResponseSize::Record,
    expected: Load::of_bytes(0),
    greatest: false,
};
const PAGE: Need = Need {
    size: ResponseSize::Page,
    ..RECORD
};

fn free(memory: &MemoryLimit) -> usize {
    memory.0.answers.available_permits()
}

fn taken(memory: &MemoryLimit) -> usize {
    CAPACITY as usize - free(memory)
}

#[tokio::test]
async fn a_permit_is_kept_until_the_landing_and_taken_once_by_a_fetch() {
    let memory = MemoryLimit::default();
    let run_permits = Arc::new(Semaphore::new(1));
    let mut permit = FetchPermit::of_run(run_permits.clone().try_acquire_owned().ok());
    for _ in 0..2 {
        memory.enough(&mut permit.memory, RECORD).await;
        permit.memory.response_in_hand();
    }
    assert_eq!((run_permits.available_permits(), taken(&memory)), (0, 64));
    drop(permit);
    assert_eq!((run_permits.available_permits(), taken(&memory)), (1, 0));
}

#[test]
fn the_more_lines_the_fewer_requests_of_each_are_under_way() {
    let memory = MemoryLimit::default();
    let first = memory.register_pipeline();
    assert_eq!(first.max_in_flight(), 96);
    let others: Vec<_> = (1..192).map(|_| memory.register_pipeline()).collect();
    assert_eq!(first.max_in_flight(), 21);
    let more: Vec<_> = (0..10_000).map(|_| memory.register_pipeline()).collect();
    assert_eq!(first.max_in_flight(), MIN_PER_PIPELINE);
    drop((others, more));
    assert_eq!(first.max_in_flight(), 96);
}

#[tokio::test]
async fn what_failed_releases_its_permit() {
    let memory = MemoryLimit::default();
    let mut permit = memory.acquire(PAGE).await;
    assert_eq!(taken(&memory), 2_560);
    permit.release_response();
    assert_eq!(taken(&memory), 0);
}

#[tokio::test]
async fn a_request_without_memory_waits_until_something_has_landed() {
    let memory = MemoryLimit::default();
    let mut permits = Vec::new();
    for _ in 0..32 {
        permits.push(memory.acquire(PAGE).await);
    }
    assert!(memory.acquire(RECORD).now_or_never().is_none());
    permits.pop();
    assert!(memory.acquire(RECORD).now_or_never().is_some());
}

#[test]
fn an_answer_takes_what_it_weighs_and_not_more_than_there_is() {
    let memory = MemoryLimit::default();
    let mut others = memory.try_acquire(ResponseSize::Page).unwrap();
    let small = memory.try_acquire(ResponseSize::Record).unwrap();
    let before = taken(&memory);
    let mut permit = memory.try_acquire(ResponseSize::Page).unwrap();
    let mut grow = |bytes: usize| permit.grow(&memory, ResponseSize::Page, Load::of_bytes(bytes));
    assert_eq!(grow(512 << 10), Growth::Fits);
    assert_eq!(taken(&memory), before + 2_560);
    assert_eq!(grow(1 << 20), Growth::Fits);
    assert_eq!(taken(&memory), before + 5_120);
    assert_eq!(grow(MAX_BYTES), Growth::Fits);
    assert_eq!(grow(MAX_BYTES + 1_024), Growth::TooLarge);

    let grown = others.grow(&memory, ResponseSize::Page, Load::of_bytes(MAX_BYTES));
    assert_eq!(grown, Growth::Outgrown);
    assert_eq!(others.capacity(), 2_560, "what it has is not taken from it");
    let greatest = Need::greatest(ResponseSize::Page);
    drop(others);
    assert!(memory.acquire(greatest).now_or_never().is_none());
    drop(permit);
    let mut permit = memory.acquire(greatest).now_or_never().unwrap();
    let fits = permit.grow(&memory, ResponseSize::Page, Load::of_bytes(MAX_BYTES));
    assert_eq!(fits, Growth::Fits);
    permit.grow(&memory, ResponseSize::Page, Load::of_bytes(600 << 10));
    permit.shrink(ResponseSize::Page);
    drop(small);
    assert_eq!(taken(&memory), 2_560 + 88 * 5);
}

#[tokio::test]
async fn a_decoded_page_keeps_what_its_text_and_records_take() {
    let memory = MemoryLimit::default();
    let mut permits = Vec::new();
    for (bytes, kept) in [(420 << 10, 3 * 420), (2 << 20, 3 * 2_048), (0, 0)] {
        let mut permit = memory.acquire(PAGE).await;
        permit.grow(&memory, ResponseSize::Page, Load::of_bytes(bytes));
        permit.shrink(ResponseSize::Page);
        let others: usize = permits.iter().map(|(_, kept)| *kept).sum();
        permit.decoded();
        assert_eq!(taken(&memory), others + kept, "{bytes}");
        permits.push((permit, kept));
    }
    drop(permits);
    let tiny = vec![b','; 64 << 10];
    let mut permit = memory.acquire(Need::greatest(ResponseSize::Page)).await;
    permit.grow(&memory, ResponseSize::Page, Load::of(&tiny));
    permit.decoded();
    let values = tiny.len() - tiny.len() / 12;
    assert_eq!(taken(&memory), 3 * 64 + values.div_ceil(2), "tiny values");
}

/// A fetch whose first answer is so large that it stays in hand.
fn with_detail(memory: &MemoryLimit, bytes: usize) -> Option<MemoryPermit> {
    let mut permit = memory.try_acquire(ResponseSize::Record)?;
    let fits = permit.grow(memory, ResponseSize::Record, Load::of_bytes(bytes));
    (fits == Growth::Fits).then_some(())?;
    permit.response_in_hand();
    Some(permit)
}

#[tokio::test]
async fn those_with_something_in_hand_get_on_one_after_the_other_whatever_all_hold() {
    let memory = MemoryLimit::default();
    let mut fetches: Vec<MemoryPermit> =
        std::iter::from_fn(|| with_detail(&memory, 1 << 20)).collect();
    assert!(fetches.len() > 10);
    let greatest = Need::greatest(ResponseSize::Record);
    let mut second = fetches.pop().unwrap();
    let mut first = fetches.pop().unwrap();
    let at_once = memory.enough(&mut first, greatest).now_or_never();
    at_once.expect("the reserve is there for one");
    let mut waits = Box::pin(memory.enough(&mut second, greatest));
    assert!((&mut waits).now_or_never().is_none());
    assert!(!memory.enough_now(&mut fetches.pop().unwrap(), greatest));
    let all = Load::of_bytes(7 << 20);
    assert_eq!(first.grow(&memory, ResponseSize::Record, all), Growth::Fits);
    let too_much = first.grow(&memory, ResponseSize::Record, Load::of_bytes(MAX_BYTES));
    assert_eq!(too_much, Growth::TooLarge, "both answers together");
    drop(first);
    assert!(waits.now_or_never().is_some());
}

#[tokio::test]
async fn while_a_budget_is_waited_for_only_what_is_in_hand_is_kept() {
    let memory = MemoryLimit::default();
    for (bytes, kept) in [(7 << 10, 0), (1 << 20, 64 + 5 * (1_024 - 16))] {
        let mut permit = memory.acquire(Need::greatest(ResponseSize::Record)).await;
        permit.grow(&memory, ResponseSize::Record, Load::of_bytes(bytes));
        permit.response_in_hand();
        permit.grow(&memory, ResponseSize::Record, Load::of_bytes(2 << 20));
        permit.release_response();
        assert_eq!(taken(&memory), kept, "{bytes}");
        drop(permit);
        assert_eq!(taken(&memory), 0);
    }
}
