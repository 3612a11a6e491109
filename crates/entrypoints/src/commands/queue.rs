//! `salla-sync queue`: what waits, and what was given up on.

use domain::failure::Failure;
use domain::job::HistoricalSync;
use domain::run::Command;
use importer::ports::queue::{DeadLetter, DeadLetters, Depth, JobId, Queue, QueueName, Redrive};
use serde_json::{Value, json};

use crate::cli::{DatabaseArgs, DeadArgs, DepthArgs, LetterArgs, QueueCommand, RedriveArgs};
use crate::display::table::Table;
use crate::display::{self, count, line};
use crate::exit::{Exit, UsageError};
use crate::wiring::OpenDatabase;

pub async fn run(command: QueueCommand, database: &DatabaseArgs) -> anyhow::Result<Exit> {
    let open = super::open_to_look(database).await?;
    match command {
        QueueCommand::Depth(arguments) => depth(&open, &arguments).await,
        QueueCommand::Dead(arguments) => dead(&open, &arguments).await,
        QueueCommand::Show(arguments) => show(&open, &arguments).await,
        QueueCommand::Redrive(arguments) => redrive(&open, &arguments).await,
        QueueCommand::Discard(arguments) => discard(&open, &arguments).await,
    }
}

async fn depth(open: &OpenDatabase, arguments: &DepthArgs) -> anyhow::Result<Exit> {
    let mut depths = Vec::new();
    for queue in QueueName::ALL {
        depths.push((queue, open.database.queue(queue).depth().await?));
    }
    if arguments.json {
        let queues: Vec<Value> = depths
            .iter()
            .map(|(queue, depth)| depth_as_json(*queue, depth))
            .collect();
        display::json(&queues);
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "queue",
        "ready",
        "delayed",
        "in flight",
        "dead letters",
        "oldest ready for",
    ]);
    for (queue, depth) in &depths {
        table.row([
            queue.to_string(),
            count(depth.ready),
            count(depth.delayed),
            count(depth.in_flight),
            count(depth.dead),
            depth
                .oldest_ready
                .map(display::duration)
                .unwrap_or_default(),
        ]);
    }
    line(table);
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
        let listed = open
            .database
            .queue(queue)
            .list(None, arguments.limit)
            .await?;
        letters.extend(listed.into_iter().map(|letter| (queue, letter)));
    }
    if arguments.json {
        let letters: Vec<Value> = letters
            .iter()
            .map(|(queue, letter)| letter_as_json(*queue, letter))
            .collect();
        display::json(&letters);
        return Ok(Exit::Done);
    }
    if letters.is_empty() {
        line("There are no dead letters.");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["id", "queue", "given up at", "attempts", "reason"]);
    for (queue, letter) in &letters {
        table.row([
            letter.id.to_string(),
            queue.to_string(),
            letter.buried_at.to_string(),
            letter.attempts.to_string(),
            letter.reason.clone(),
        ]);
    }
    line(table);
    line("\n  salla-sync queue redrive ID   puts a letter back; discard ID deletes it");
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
        "buried_at": letter.buried_at,
    })
}

/// The letter of this id, on whichever queue.
async fn find(open: &OpenDatabase, id: &str) -> anyhow::Result<(QueueName, DeadLetter)> {
    let id = JobId(id.to_owned());
    for queue in QueueName::ALL {
        if let Some(letter) = open.database.queue(queue).read(&id).await? {
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
    if let Some(id) = &arguments.id {
        let (queue, letter) = find(open, id).await?;
        restart(open, queue, &letter).await?;
        let one = Redrive::One(letter.id);
        redriven += open.database.queue(queue).redrive(one).await?;
    } else {
        for queue in chosen(arguments.queue.map(|queue| queue.name())) {
            redriven += redrive_all(open, queue).await?;
        }
    }
    line(format!("{} messages were put back.", count(redriven)));
    Ok(Exit::Done)
}

const PAGE: u32 = 500;

async fn redrive_all(open: &OpenDatabase, queue: QueueName) -> Result<u64, Failure> {
    let letters = open.database.queue(queue);
    let mut after: Option<JobId> = None;
    loop {
        let page = letters.list(after.as_ref(), PAGE).await?;
        for letter in &page {
            restart(open, queue, letter).await?;
        }
        match page.last() {
            Some(last) => after = Some(last.id.clone()),
            None => return letters.redrive(Redrive::All).await,
        }
    }
}

/// The message alone would find a run that is over.
async fn restart(
    open: &OpenDatabase,
    queue: QueueName,
    letter: &DeadLetter,
) -> Result<(), Failure> {
    if queue != QueueName::HistoricalSync {
        return Ok(());
    }
    if let Ok(HistoricalSync { run: Some(run), .. }) = HistoricalSync::parse(&letter.body) {
        open.jobs().command(run, Command::Restart).await?;
    }
    Ok(())
}

async fn discard(open: &OpenDatabase, arguments: &LetterArgs) -> anyhow::Result<Exit> {
    let (queue, letter) = find(open, &arguments.id).await?;
    open.database.queue(queue).discard(&letter.id).await?;
    line(format!("Dead letter {} of {queue} was deleted.", letter.id));
    Ok(Exit::Done)
}
