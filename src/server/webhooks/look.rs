//! What there is to tell: read from the history, from the clock, and from what goes on.

use std::sync::Arc;

use super::World;
use super::turn::{Lost, Turn};
use crate::client::{ClientId, Stage};
use crate::clock::{self, Timestamp};
use crate::config;
use crate::directory::Ends;
use crate::store::{Event, Head, ReadOn, StoreError, read_on};
use crate::webhook::{self, Crossing, Kind, Mailbox, Message, Page, Place, Tally};

/// After how many seconds it is noted that the clock brought about nothing.
const NOTE_EVERY: u64 = 60;

/// Looks for what there is to tell a webhook.
pub(super) struct Look<'a> {
    pub(super) world: &'a Arc<World>,
    pub(super) webhook: &'a config::Webhook,
}

/// What the clock brought about.
struct Found {
    messages: Vec<Message>,
    place: Place,
    tally: Tally,
}

impl<'a> Look<'a> {
    pub(super) const fn new(world: &'a Arc<World>, webhook: &'a config::Webhook) -> Self {
        Self { world, webhook }
    }

    pub(super) fn wants(&self, kind: Kind) -> bool {
        self.webhook.events.contains(&kind)
    }

    /// Puts `messages` in, as far as they are wanted, and notes that they were found: by `note`, in the
    /// same write.
    pub(super) async fn put(
        &self,
        turn: &mut Turn<'_>,
        mut messages: Vec<Message>,
        note: impl Fn(&mut Page),
    ) -> Result<(), Lost> {
        messages.retain(|message| self.wants(message.kind));
        let now = clock::now();
        turn.update(|mailbox: &mut Mailbox| {
            for message in &messages {
                mailbox.put(message, now);
            }
            note(&mut mailbox.page);
        })
        .await
    }

    /// Reads the history on, for as long as there is room for what it tells.
    pub(super) async fn read_on(&self, turn: &mut Turn<'_>) -> Result<(), Lost> {
        loop {
            let (from, room) = (turn.mailbox().page.read, turn.mailbox().room());
            let directory = &self.world.directory;
            if room == 0 || !directory.is_loaded() || *directory.watch().borrow() == from {
                return Ok(());
            }
            let store = self.world.store.as_ref();
            match read_on(store, from, &self.world.record_keys).await {
                Ok(ReadOn::Events(events)) if events.is_empty() => return Ok(()),
                Ok(ReadOn::Events(events)) => {
                    if !self.take(turn, room, &events).await? {
                        return Ok(());
                    }
                }
                Ok(ReadOn::Missed { now }) => {
                    let webhook = self.webhook.name.as_str();
                    tracing::error!(
                        webhook,
                        after = from.epoch.0,
                        until = now.epoch.0,
                        "changes cannot be read any more, so a webhook may miss messages about them"
                    );
                    let missed = Message::missed(Some(from.epoch), now.epoch, clock::now());
                    let note = |page: &mut Page| (page.read, page.part) = (now, 0);
                    self.put(turn, vec![missed], note).await?;
                }
                Err(error) => {
                    self.cannot(&error);
                    return Ok(());
                }
            }
        }
    }

    /// Puts the messages about `events` in that have room; whether it can go on.
    async fn take(
        &self,
        turn: &mut Turn<'_>,
        room: usize,
        events: &[(Event, Head)],
    ) -> Result<bool, Lost> {
        let page = &turn.mailbox().page;
        let (mut read, mut part) = (page.read, page.part);
        let mut messages = Vec::new();
        for (event, after) in events {
            // What a client has is known once the change is.
            if self.world.directory.wait_for(event.epoch).await.is_err() {
                break;
            }
            let mut about = self.about(event);
            about.drain(..part.min(about.len()));
            let left = room.saturating_sub(messages.len());
            if about.len() > left {
                part = part.saturating_add(left);
                messages.extend(about.into_iter().take(left));
                break;
            }
            messages.extend(about);
            (read, part) = (*after, 0);
        }
        let has_moved = (read, part) != (page.read, page.part);
        if has_moved {
            let note = |page: &mut Page| (page.read, page.part) = (read, part);
            self.put(turn, messages, note).await?;
        }
        Ok(has_moved)
    }

    /// What there is to tell about a change.
    fn about(&self, event: &Event) -> Vec<Message> {
        let mut messages = webhook::told_by(event);
        if self.wants(Kind::CertificateExpiring) {
            let (view, now) = (self.world.directory.view(), clock::now());
            for client in webhook::newly_certified(event) {
                let Some((active, issued, ends)) = view.client(&client, now) else {
                    continue;
                };
                let ends = depends_until(self.stage(&client, active, issued, now), ends);
                messages.extend(ends.and_then(|ends| webhook::threshold(&client, ends, now)));
            }
        }
        messages.retain(|message| self.wants(message.kind));
        messages
    }

    fn stage(&self, client: &ClientId, active: bool, issued: bool, now: Timestamp) -> Stage {
        let window = self.world.live.load().window;
        Stage::of(active, issued, self.world.sightings.of(client), window, now)
    }

    /// Tells what the clock has brought about, and which migrations are finished.
    pub(super) async fn clock(&self, turn: &mut Turn<'_>) -> Result<(), Lost> {
        let now = clock::now();
        let kinds = [
            Kind::CertificateExpiring,
            Kind::MigrationFinished,
            Kind::CohortFinished,
        ];
        if !kinds.iter().any(|kind| self.wants(*kind)) {
            if is_long_ago(turn, now) {
                let place = Place {
                    at: now,
                    client: None,
                };
                let note = |page: &mut Page| page.clock = place.clone();
                return self.put(turn, Vec::new(), note).await;
            }
            return Ok(());
        }
        if !self.world.directory.is_loaded() || !self.world.sightings.is_loaded() {
            return Ok(());
        }
        let (after, room) = (turn.mailbox().page.clock.clone(), turn.mailbox().room());
        let found = {
            let look = (Arc::clone(self.world), self.webhook.clone());
            let looking = move || {
                let (world, webhook) = &look;
                Look::new(world, webhook).look(after, now, room)
            };
            tokio::task::spawn_blocking(looking).await
        };
        let Ok(mut found) = found else {
            return Ok(());
        };
        let (noted, room) = (&turn.mailbox().page.finished, turn.mailbox().room());
        let room = room.saturating_sub(found.messages.len());
        let (messages, finished) = found.tally.finished(noted, room, now);
        found.messages.extend(messages);
        let is_same = found.messages.is_empty() && *noted == finished;
        if is_same && !is_long_ago(turn, now) {
            return Ok(());
        }
        let place = found.place;
        let note = |page: &mut Page| {
            page.clock = place.clone();
            page.finished = finished.clone();
        };
        self.put(turn, found.messages, note).await
    }

    fn look(&self, after: Place, now: Timestamp, room: usize) -> Found {
        let (mut crossing, mut tally) = (Crossing::new(after, now, room), Tally::default());
        let wants_crossing = self.wants(Kind::CertificateExpiring);
        let wants_cohorts = self.wants(Kind::CohortFinished);
        let view = self.world.directory.view();
        view.clients(now, |client, active, issued, ends| {
            let stage = self.stage(client, active, issued, now);
            let tags = wants_cohorts.then(|| view.tags(client)).flatten();
            tally.count(stage, tags.as_deref());
            let ends = depends_until(stage, ends).filter(|_| wants_crossing);
            if let Some(ends) = ends {
                crossing.look(client, ends);
            }
        });
        let (messages, place) = crossing.told();
        Found {
            messages,
            place,
            tally,
        }
    }

    /// It is looked again with the next beat.
    pub(super) fn cannot(&self, error: &StoreError) {
        let webhook = self.webhook.name.as_str();
        tracing::debug!(webhook, %error, "what there is to tell a webhook cannot be read now");
    }
}

/// When the last certificate of a client ends that has not moved.
fn depends_until(stage: Stage, ends: Ends) -> Option<Timestamp> {
    let has_moved = matches!(stage, Stage::KeyOnly | Stage::Retired);
    ends.certificates.filter(|_| !has_moved)
}

/// Whether it is to be noted that the clock brought about nothing. A certificate that came since then, with
/// its threshold behind it, is told of when it comes and once more here, by the same id.
fn is_long_ago(turn: &Turn<'_>, now: Timestamp) -> bool {
    now.seconds_since(turn.mailbox().page.clock.at)
        .unsigned_abs()
        > NOTE_EVERY
}
