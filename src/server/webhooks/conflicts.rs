//! Conflicts, which one gateway alone sees: it puts the messages in itself, whoever keeps the webhooks.
//!
//! Until then they are in memory, as everything that is seen and not changed: so many of them, and lost with
//! the gateway. Of the same two clients one is told an hour.

use std::collections::BTreeMap;
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
/// How often it is tried to put messages in that others get ahead of.
const TRIES: usize = 20;

/// The conflicts that were noted.
#[derive(Default)]
pub(super) struct Noted {
    /// When the pair was last told of.
    told: BTreeMap<(ClientId, ClientId), Timestamp>,
    /// What is still to be put into the mailbox of each webhook.
    waiting: BTreeMap<String, Vec<Message>>,
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
        self.waiting.retain(|name, _| is_told(name));
        let mut new = Vec::new();
        loop {
            let is_tried_again = !self.waiting.is_empty();
            tokio::select! {
                noticed = conflicts.recv_many(&mut new, MOST) => {
                    if noticed == 0 {
                        return;
                    }
                    for conflict in new.drain(..) {
                        self.note(conflict, webhooks);
                    }
                }
                () = sleep(PAUSE), if is_tried_again => {}
            }
            self.put_waiting(world).await;
        }
    }

    /// Puts all that waits for a webhook in at once. What cannot be put in now waits on.
    async fn put_waiting(&mut self, world: &World) {
        for (webhook, messages) in &mut self.waiting {
            match put(world, webhook, messages).await {
                Ok(true) => messages.clear(),
                // Nobody has kept it yet.
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(webhook, %error, "conflicts cannot be told now");
                    break;
                }
            }
        }
        self.waiting.retain(|_, messages| !messages.is_empty());
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
        let mut room = MOST.saturating_sub(self.waiting.values().map(Vec::len).sum());
        let wanting = webhooks.iter();
        for webhook in wanting.filter(|webhook| webhook.events.contains(&message.kind)) {
            if room > 0 {
                let messages = self.waiting.entry(webhook.name.clone()).or_default();
                messages.push(message.clone());
                room = room.saturating_sub(1);
            }
        }
    }
}

/// Puts `messages` into the mailbox of `webhook`; whether there is one. Left out is what has no room.
async fn put(world: &World, webhook: &str, messages: &[Message]) -> Result<bool, StoreError> {
    let store = &world.store;
    for _ in 0..TRIES {
        let Some(found) = store.mailbox(webhook).await? else {
            return Ok(false);
        };
        let Some(page) = Page::read(&found) else {
            return Ok(false);
        };
        let letters = store.letters(webhook).await?;
        let mut mailbox = Mailbox::new((found.version, page), letters);
        let (room, now) = (mailbox.room(), clock::now());
        if room == 0 {
            return Ok(true);
        }
        for message in messages.iter().take(room) {
            mailbox.put(message, now);
        }
        if store.post(&mailbox.posting(webhook)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
