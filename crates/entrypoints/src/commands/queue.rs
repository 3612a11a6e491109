//! `salla-sync queue`: waiting messages and dead letters.

use domain::failure::Failure;
use domain::job::HistoricalSync;
use domain::run::{RunCommand, RunState};
use importer::ports::jobs::CommandOutcome;
use importer::ports::queue::{DeadLetter, Depth, JobId, QueueName, Redrive};
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, DeadArgs, JsonArgs, LetterArgs, QueueCommand, RedriveArgs};
use crate::display::{self, count, line, lines};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub async fn run(command: QueueCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let place = super::queue_place()?;
    let open = super::open_for_reading(database).await?;
    let open = open.with_queues(&place).await?;
    match command {
        QueueCommand::Depth(arguments) => depth(&open, &arguments).await,
        QueueCommand::Dead(arguments) => dead(&open, &arguments).await,
        QueueCommand::Show(arguments) => show(&open, &arguments).await,
        QueueCommand::Redrive(arguments) => redrive(&open, &arguments).await,
        QueueCommand::Discard(arguments) => discard(&open, &arguments).await,
    }
}

async fn depth(open: &OpenDatabase, arguments: &JsonArgs) -> anyhow::Result<Exit> {
    let mut depths = Vec::new();
    for queue in QueueName::ALL {
        depths.push((queue, open.queues.of(queue).depth().await?));
    }
    display::list(
        &depths,
        arguments
            .json
            .then_some(&|(queue, depth)| depth_as_json(*queue, depth)),
        "",
        [
            "queue",
            "ready",
            "delayed",
            "in flight",
            "dead letters",
            "oldest ready for",
        ],
        |(queue, depth)| {
            let age = depth.oldest_ready.map(display::duration);
            [
                queue.to_string(),
                count(depth.ready),
                count(depth.delayed),
                count(depth.in_flight),
                count(depth.dead),
                age.unwrap_or_default(),
            ]
        },
    );
    Ok(Exit::Done)
}

fn depth_as_json(queue: QueueName, depth: &Depth) -> Value {
    json!({
        "queue": queue.as_str(),
        "ready": depth.ready,
        "delayed": depth.delayed,
        "in_flight": depth.in_flight,
        "dead": depth.dead,
        "oldest_ready_s": depth.oldest_ready.map(|age| age.as_secs()),
    })
}

async fn dead(open: &OpenDatabase, arguments: &DeadArgs) -> anyhow::Result<Exit> {
    let mut letters = Vec::new();
    for queue in chosen(arguments.queue.map(|queue| queue.name())) {
        let listed = open.queues.of(queue).list(None, arguments.limit).await?;
        letters.extend(listed.into_iter().map(|letter| (queue, letter)));
    }
    display::list(
        &letters,
        arguments
            .json
            .then_some(&|(queue, letter)| letter_as_json(*queue, letter)),
        "There are no dead letters.",
        ["id", "queue", "dead since", "attempts", "reason"],
        |(queue, letter)| {
            [
                letter.id.to_string(),
                queue.to_string(),
                letter.dead_lettered_at.to_string(),
                letter.attempts.to_string(),
                letter.reason.clone(),
            ]
        },
    );
    if !arguments.json && !letters.is_empty() {
        lines("\n  salla-sync queue redrive ID   sends a dead letter again; discard ID deletes it");
    }
    Ok(Exit::Done)
}

fn chosen(queue: Option<QueueName>) -> Vec<QueueName> {
    queue.map_or_else(|| QueueName::ALL.to_vec(), |queue| vec![queue])
}

fn letter_as_json(queue: QueueName, letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id.to_string(),
        "queue": queue.as_str(),
        "body": letter.body,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "sent_at": letter.sent_at,
        "buried_at": letter.dead_lettered_at,
    })
}

/// The letter of this id, on whichever queue.
async fn find(open: &OpenDatabase, id: &str) -> anyhow::Result<(QueueName, DeadLetter)> {
    let id = JobId(id.to_owned());
    for queue in QueueName::ALL {
        if let Some(letter) = open.queues.of(queue).read(&id).await? {
            return Ok((queue, letter));
        }
    }
    Err(UsageError::one("there is no such dead letter; `salla-sync queue dead` lists them").into())
}

async fn show(open: &OpenDatabase, arguments: &LetterArgs) -> anyhow::Result<Exit> {
    let (queue, letter) = find(open, &arguments.id).await?;
    display::json(&letter_as_json(queue, &letter));
    Ok(Exit::Done)
}

async fn redrive(open: &OpenDatabase, arguments: &RedriveArgs) -> anyhow::Result<Exit> {
    let mut redriven = 0;
    let mut kept = Vec::new();
    if let Some(id) = &arguments.id {
        let (queue, letter) = find(open, id).await?;
        redriven += redrive_each(open, queue, vec![letter], &mut kept).await?;
    } else {
        for queue in chosen(arguments.queue.map(|queue| queue.name())) {
            redriven += redrive_all(open, queue, &mut kept).await?;
        }
    }
    line(format!("{} messages were sent again.", count(redriven)));
    for why in &kept {
        display::note(why);
    }
    Ok(match kept.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

const PAGE: u32 = 500;

/// Letters that stay are reported in `kept`.
async fn redrive_all(
    open: &OpenDatabase,
    queue: QueueName,
    kept: &mut Vec<String>,
) -> Result<u64, Failure> {
    let letters = open.queues.of(queue);
    if queue != QueueName::HistoricalSync {
        return letters.redrive(Redrive::All).await;
    }
    // All are read first: a letter that was sent again may fail immediately and be the last letter.
    let mut all: Vec<DeadLetter> = Vec::new();
    loop {
        let page = letters.list(all.last().map(|last| &last.id), PAGE).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    redrive_each(open, queue, all, kept).await
}

/// Letters that stay are reported in `kept`.
async fn redrive_each(
    open: &OpenDatabase,
    queue: QueueName,
    letters: Vec<DeadLetter>,
    kept: &mut Vec<String>,
) -> Result<u64, Failure> {
    let mut redriven = 0;
    for letter in letters {
        match redrive_one(open, queue, letter).await? {
            Ok(put_back) => redriven += put_back,
            Err(why) => kept.push(why),
        }
    }
    Ok(redriven)
}

/// Puts a letter back, or says why it stays.
async fn redrive_one(
    open: &OpenDatabase,
    queue: QueueName,
    letter: DeadLetter,
) -> Result<Result<u64, String>, Failure> {
    let letters = open.queues.of(queue);
    let run = match HistoricalSync::parse(&letter.body) {
        Ok(job) if queue == QueueName::HistoricalSync => job.run,
        _ => None,
    };
    let state = match run {
        Some(run) => open.jobs().find(run).await?.map(|run| run.state),
        None => None,
    };
    let (Some(run), Some(state)) = (run, state) else {
        return Ok(Ok(letters.redrive(Redrive::One(letter.id)).await?));
    };
    let stays = |why: &str| {
        let id = &letter.id;
        Ok(Err(format!(
            "{id} stays: {why}. `salla-sync queue discard {id}` deletes it."
        )))
    };
    match state {
        RunState::Completed => stays(&format!("its run {run} is completed")),
        RunState::Cancelled => stays(&format!(
            "its run {run} was cancelled; restart it with `salla-sync runs restart {run}`"
        )),
        // The message alone would find a run that is over; beginning it again sends another.
        RunState::Failed => match open.jobs().command(run, RunCommand::Restart).await? {
            CommandOutcome::Refused(_, why) => stays(&format!("its run {run} stays FAILED: {why}")),
            CommandOutcome::Applied(_) | CommandOutcome::Unchanged(_) | CommandOutcome::Unknown => {
                letters.discard(&letter.id).await?;
                Ok(Ok(1))
            }
        },
        RunState::Pending | RunState::InProgress | RunState::Waiting | RunState::Paused => {
            Ok(Ok(letters.redrive(Redrive::One(letter.id)).await?))
        }
    }
}

async fn discard(open: &OpenDatabase, arguments: &LetterArgs) -> anyhow::Result<Exit> {
    let (queue, letter) = find(open, &arguments.id).await?;
    open.queues.of(queue).discard(&letter.id).await?;
    line(format!("Dead letter {} of {queue} was deleted.", letter.id));
    Ok(Exit::Done)
}
