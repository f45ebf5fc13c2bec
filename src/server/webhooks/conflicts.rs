//! Conflicts, which one gateway alone sees: it puts the messages in itself, whoever keeps the webhooks.
//!
//! Until then they are in memory, as everything that is seen and not changed: so many of them, and lost with
//! the gateway. Of the same two clients one is told an hour.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::World;
use crate::client::ClientId;
use crate::clock::{self, Timestamp};
use crate::config;
use crate::gateway::Conflict;
use crate::store::StoreError;
use crate::webhook::{Kind, Mailbox, Message, Page};

/// For how long the same two clients are not told of again.
const QUIET: i64 = 3600;
/// Of how many pairs it is known when they were told of, and how many messages are kept until the store
/// takes them.
const MOST: usize = 1000;
/// The pause until the store is asked again.
const PAUSE: Duration = Duration::from_secs(3);
/// How often it is tried to put a message in that others get ahead of.
const TRIES: usize = 20;

/// The conflicts that were noted.
#[derive(Default)]
pub(super) struct Noted {
    /// When the pair was last told of.
    told: BTreeMap<(ClientId, ClientId), Timestamp>,
    /// What is still to be put into the mailbox of this webhook.
    waiting: VecDeque<(String, Message)>,
}

impl Noted {
    /// Puts what comes into the mailboxes of those of `webhooks` that want it, until no more comes.
    pub(super) async fn put_all(
        &mut self,
        conflicts: &mut mpsc::Receiver<Conflict>,
        webhooks: &[config::Webhook],
        world: &World,
    ) {
        let is_told = |name: &str| webhooks.iter().any(|webhook| webhook.name == name);
        self.waiting.retain(|(name, _)| is_told(name));
        loop {
            let is_tried_again = !self.waiting.is_empty();
            tokio::select! {
                conflict = conflicts.recv() => match conflict {
                    Some(conflict) => self.note(conflict, webhooks),
                    None => return,
                },
                () = sleep(PAUSE), if is_tried_again => {}
            }
            while let Some((webhook, message)) = self.waiting.front() {
                match put(world, webhook, message).await {
                    Ok(true) => drop(self.waiting.pop_front()),
                    // Nobody has kept it yet.
                    Ok(false) => {
                        self.waiting.rotate_left(1);
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(webhook, %error, "a conflict cannot be told now");
                        break;
                    }
                }
            }
        }
    }

    fn note(&mut self, conflict: Conflict, webhooks: &[config::Webhook]) {
        let Conflict {
            certificate,
            key,
            at,
        } = conflict;
        let pair = (certificate.clone(), key.clone());
        // Of one that is yet to come, the clock was ahead.
        let is_recent = |told: &Timestamp| at.seconds_since(*told).abs() < QUIET;
        if self.told.get(&pair).is_some_and(is_recent) {
            return;
        }
        self.told.retain(|_, told| is_recent(told));
        if self.told.len() >= MOST {
            return;
        }
        self.told.insert(pair, at);
        let hour = at.as_unix().div_euclid(QUIET).to_string();
        // The same hour at another gateway is the same message.
        let about = [certificate.as_str(), key.as_str(), &hour];
        let data = json!({ "certificate_of": certificate, "key_of": key });
        let message = Message::new(Kind::CredentialConflict, at, &about, data);
        let wanting = webhooks.iter();
        for webhook in wanting.filter(|webhook| webhook.events.contains(&message.kind)) {
            if self.waiting.len() < MOST {
                self.waiting
                    .push_back((webhook.name.clone(), message.clone()));
            }
        }
    }
}

/// Puts `message` into the mailbox of `webhook`; whether there is one. It is left out where too much waits.
async fn put(world: &World, webhook: &str, message: &Message) -> Result<bool, StoreError> {
    let store = &world.store;
    for _ in 0..TRIES {
        let Some(found) = store.mailbox(webhook).await? else {
            return Ok(false);
        };
        let page = found.text.as_deref().map(serde_json::from_str::<Page>);
        let Some(Ok(page)) = page else {
            return Ok(false);
        };
        let letters = store.letters(webhook).await?;
        let mut mailbox = Mailbox::new((found.version, page), letters);
        if mailbox.room() == 0 {
            return Ok(true);
        }
        mailbox.put(message, clock::now());
        if store.post(&mailbox.posting(webhook)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
