//! Dead letters. SQS shows messages only to who receives them: to look, all are received, kept
//! from others for a moment, and released.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::failure::Failure;
use importer::ports::queue::{ATTEMPTS_EXHAUSTED, DeadLetter, DeadLetters, JobId, Redrive};

use super::message::{Burial, Received, Stored};
use super::{BATCH, SqsQueue};

/// How long a letter that is being read is hidden from others, in case it is not released.
const LOOK: Duration = Duration::from_secs(30);
/// An empty receive need not mean an empty queue: SQS queries only some of its servers.
const EMPTY_LOOKS: u32 = 2;
/// More are not looked at in one go.
const MOST: usize = 10_000;

/// A letter and its copies: a process that died between sending and deleting one left two.
#[derive(Debug, Default)]
struct Held(Vec<Received>);

impl Held {
    fn is_alerted(&self) -> bool {
        let is_alerted = |burial: &Burial| burial.is_alerted;
        let burials = self.0.iter().map(|copy| copy.stored.burial.as_ref());
        burials.flatten().any(is_alerted)
    }

    /// The one that says more.
    fn best(&self) -> Option<&Received> {
        let explained = self.0.iter().find(|copy| copy.stored.burial.is_some());
        explained.or(self.0.first())
    }
}

impl SqsQueue {
    /// All letters that no other reader holds, by their ids.
    async fn hold(&self) -> Result<BTreeMap<String, Held>, Failure> {
        let mut held: BTreeMap<String, Held> = BTreeMap::new();
        let mut empty = 0;
        while empty < EMPTY_LOOKS && held.len() < MOST {
            let messages = self
                .calls
                .receive_letters(BATCH, LOOK, Duration::ZERO)
                .await?;
            empty = match messages.is_empty() {
                true => empty + 1,
                false => 0,
            };
            for message in messages {
                let received = Received::read(message, self.clock.now());
                let id = received.stored.id.clone();
                held.entry(id).or_default().0.push(received);
            }
        }
        Ok(held)
    }

    async fn release(&self, letters: &[&Held]) {
        for copy in letters.iter().flat_map(|held| &held.0) {
            if let Err(failure) = self.calls.release_letter(&copy.handle).await {
                tracing::warn!(%failure, "cannot release a dead letter; it can be seen again in {} seconds", LOOK.as_secs());
            }
        }
    }

    async fn remove(&self, held: &Held) -> Result<(), Failure> {
        for copy in &held.0 {
            self.calls.delete_letter(&copy.handle).await?;
        }
        Ok(())
    }

    /// The letter as we would have written it: SQS itself gives no reason for those that it
    /// moves here.
    fn explained(&self, received: &Received) -> Stored {
        let stored = received.stored.clone();
        match stored.burial {
            Some(_) => stored,
            None => Stored {
                attempts: received.attempt().min(self.settings.max_attempts),
                not_before: None,
                burial: Some(Burial {
                    reason: ATTEMPTS_EXHAUSTED.to_owned(),
                    at: stored.sent_at,
                    is_alerted: false,
                }),
                ..stored
            },
        }
    }

    fn letter(&self, held: &Held) -> Option<DeadLetter> {
        let stored = self.explained(held.best()?);
        let burial = stored.burial?;
        Some(DeadLetter {
            id: JobId(stored.id),
            body: stored.body,
            reason: burial.reason,
            attempts: stored.attempts,
            sent_at: stored.sent_at,
            dead_lettered_at: burial.at,
        })
    }

    async fn put_back(&self, held: &Held) -> Result<(), Failure> {
        let Some(best) = held.best() else {
            return Ok(());
        };
        self.put(&Stored {
            attempts: 0,
            not_before: None,
            burial: None,
            ..best.stored.clone()
        })
        .await?;
        self.remove(held).await
    }

    /// Marks a letter and returns it. The marked copy is there before the other goes.
    async fn alert(&self, held: &Held) -> Result<Option<DeadLetter>, Failure> {
        let Some(best) = held.best() else {
            return Ok(None);
        };
        let mut stored = self.explained(best);
        let is_explained = best.stored.burial.is_some();
        if let Some(burial) = &mut stored.burial {
            burial.is_alerted = true;
            if !is_explained {
                burial.at = self.clock.now();
            }
        }
        self.calls.send_letter(&stored).await?;
        self.remove(held).await?;
        Ok(self.letter(&Held(vec![Received {
            stored,
            handle: String::new(),
            deliveries: 0,
        }])))
    }
}

/// A concurrent reader sees part of the letters, and the rest a moment later.
#[async_trait]
impl DeadLetters for SqsQueue {
    async fn list(&self, after: Option<&JobId>, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        let held = self.hold().await?;
        self.release(&held.values().collect::<Vec<_>>()).await;
        Ok(held
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| id.as_str() > after.0.as_str()))
            .filter_map(|(_, held)| self.letter(held))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect())
    }

    async fn read(&self, id: &JobId) -> Result<Option<DeadLetter>, Failure> {
        let held = self.hold().await?;
        self.release(&held.values().collect::<Vec<_>>()).await;
        Ok(held.get(&id.0).and_then(|held| self.letter(held)))
    }

    async fn redrive(&self, which: Redrive) -> Result<u64, Failure> {
        let mut held = self.hold().await?;
        let chosen = match which {
            Redrive::All => std::mem::take(&mut held),
            Redrive::One(id) => held.remove_entry(&id.0).into_iter().collect(),
        };
        self.release(&held.values().collect::<Vec<_>>()).await;
        let mut put_back = 0;
        for letter in chosen.values() {
            self.put_back(letter).await?;
            put_back += 1;
        }
        Ok(put_back)
    }

    async fn unreported(&self, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        let held = self.hold().await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (known, new): (Vec<&Held>, Vec<&Held>) =
            held.values().partition(|held| held.is_alerted());
        self.release(&known).await;
        let (new, later) = new.split_at(limit.min(new.len()));
        self.release(later).await;
        let mut alerted = Vec::new();
        for letter in new {
            alerted.extend(self.alert(letter).await?);
        }
        Ok(alerted)
    }

    async fn discard(&self, id: &JobId) -> Result<bool, Failure> {
        let mut held = self.hold().await?;
        let found = held.remove(&id.0);
        self.release(&held.values().collect::<Vec<_>>()).await;
        match found {
            Some(letter) => self.remove(&letter).await.map(|()| true),
            None => Ok(false),
        }
    }
}
