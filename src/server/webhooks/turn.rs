//! Whose turn it is: of all gateways on one store, one keeps a webhook.
//!
//! The keeper raises a number on the page every [`BEAT`]. Who sees the same number for [`PATIENCE`] by its
//! own clock takes its place; should both write, the version of the page lets one.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

use super::World;
use crate::clock;
use crate::config;
use crate::store::{Legible, Letter, Posting, StoreError};
use crate::webhook::{Kind, Mailbox, Message, Page};

/// How often a keeper shows that it lives, at least.
pub(super) const BEAT: Duration = Duration::from_secs(3);
/// How long one that does not is waited for.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The pause while the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A mailbox that one gateway keeps.
pub(super) struct Turn<'a> {
    world: &'a World,
    webhook: &'a str,
    me: Uuid,
    mailbox: Mailbox,
    /// Whether the store may hold something else.
    is_stale: bool,
}

/// Another gateway keeps the webhook now.
#[derive(Debug)]
pub(super) struct Lost;

impl<'a> Turn<'a> {
    /// Waits until this gateway is the keeper. With `is_known` it knows from one time to the next whether
    /// the store held a mailbox: one that is not there any more was lost, and did not begin.
    pub(super) async fn of(
        world: &'a World,
        webhook: &'a config::Webhook,
        is_known: &mut bool,
    ) -> Self {
        let me = clock::unique();
        let mut seen = None;
        loop {
            match Self::take(world, webhook, me, &mut seen, is_known).await {
                Ok(Some(turn)) => return turn,
                Ok(None) => {}
                Err(error) => {
                    let webhook = webhook.name.as_str();
                    tracing::debug!(webhook, %error, "whose turn it is to tell cannot be read");
                }
            }
            sleep(clock::jittered(LOOK_EVERY)).await;
        }
    }

    /// Becomes the keeper where nobody is. What was `seen` is the last sign of the one that is, and when.
    async fn take(
        world: &'a World,
        config::Webhook { name, events, .. }: &'a config::Webhook,
        me: Uuid,
        seen: &mut Option<((Uuid, u64), Instant)>,
        is_known: &mut bool,
    ) -> Result<Option<Self>, StoreError> {
        let (version, page) = match world.store.mailbox(name).await? {
            None => (0, None),
            Some(found) => (found.version, Page::read(&found)),
        };
        let lost = lost(version, page.is_some(), *is_known);
        *is_known |= version > 0;
        // What is not believed here may be of a keeper that knows another record key.
        let sign = match &page {
            Some(page) => page.keeper.map(|keeper| (keeper, page.beat)),
            None => (version > 0).then_some((Uuid::nil(), version)),
        };
        let page = match page {
            Some(page) => page,
            None => Page::new(world.store.head().await?, clock::now()),
        };
        world.show(name, &page);
        // Of the store in a file this is the only gateway: the keeper before is gone.
        if let Some(sign) = sign.filter(|_| world.is_shared) {
            let now = clock::monotonic();
            let since = match seen {
                Some((known, since)) if *known == sign => *since,
                _ => seen.insert((sign, now)).1,
            };
            if now.saturating_duration_since(since) < PATIENCE {
                return Ok(None);
            }
        }
        if let Some(why) = lost {
            tracing::error!(
                webhook = name,
                "what was noted of a webhook {why}: it is told of what happens from now on, and something before may be missing"
            );
        }
        let now = clock::now();
        let missed = lost.filter(|_| events.contains(&Kind::HistoryMissed));
        let missed = missed.map(|_| Message::missed(None, page.read.epoch, now));
        let mut mailbox = Mailbox::new((version, page), letters(world, name).await?);
        mailbox.take_over(me, missed.as_ref(), now);
        let mut turn = Self {
            world,
            webhook: name,
            me,
            mailbox,
            is_stale: false,
        };
        if !turn.post().await? {
            return Ok(None);
        }
        *is_known = true;
        tracing::info!(webhook = name, "this gateway tells the webhook now");
        Ok(Some(turn))
    }

    /// What the keeper knows.
    pub(super) const fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Shows that the keeper lives, and does `change` to the mailbox. Where nobody else could take its
    /// place, and nothing is to be changed, it only looks whether a command did.
    pub(super) async fn beat(
        &mut self,
        is_needed: bool,
        change: impl Fn(&mut Mailbox),
    ) -> Result<(), Lost> {
        if self.world.is_shared || is_needed {
            return self.update(change).await;
        }
        match self.world.store.mailbox(self.webhook).await {
            Ok(Some(found)) if found.version == self.mailbox.version() => Ok(()),
            Err(_) => Ok(()),
            Ok(_) => {
                self.is_stale = true;
                self.update(change).await
            }
        }
    }

    /// Does `change` to the mailbox, in the store as well, however often others come between and for as
    /// long as the store does not answer. It is done again then: whatever was done already it must leave
    /// as it is.
    pub(super) async fn update(&mut self, change: impl Fn(&mut Mailbox)) -> Result<(), Lost> {
        loop {
            let posted = async {
                if self.is_stale && !self.read().await? {
                    return Ok(Err(Lost));
                }
                change(&mut self.mailbox);
                self.post().await.map(Ok)
            };
            match posted.await {
                Ok(Ok(true)) => {
                    self.world.show(self.webhook, &self.mailbox.page);
                    return Ok(());
                }
                Ok(Ok(false)) => self.is_stale = true,
                Ok(Err(lost)) => return Err(lost),
                Err(error) => {
                    self.is_stale = true;
                    tracing::debug!(webhook = self.webhook, %error, "what was told cannot be noted");
                    sleep(clock::jittered(PAUSE)).await;
                }
            }
        }
    }

    /// Reads what the store holds; whether this gateway is the keeper still.
    async fn read(&mut self) -> Result<bool, StoreError> {
        let Some(found) = self.world.store.mailbox(self.webhook).await? else {
            return Ok(false);
        };
        let Some(page) = Page::read(&found).filter(|page| page.keeper == Some(self.me)) else {
            return Ok(false);
        };
        let letters = letters(self.world, self.webhook).await?;
        self.mailbox = Mailbox::new((found.version, page), letters);
        self.is_stale = false;
        Ok(true)
    }

    async fn post(&mut self) -> Result<bool, StoreError> {
        self.mailbox.page.beat = self.mailbox.page.beat.wrapping_add(1);
        let posting: Posting = self.mailbox.posting(self.webhook);
        let is_posted = self.world.store.post(&posting).await?;
        if is_posted {
            self.mailbox.is_posted();
        }
        Ok(is_posted)
    }
}

/// What waits and what is dead. It is read after the page: should it be newer, nothing is written by it,
/// since the page has another version then.
async fn letters(world: &World, webhook: &str) -> Result<Legible<Letter, u16>, StoreError> {
    let letters = world.store.letters(webhook).await?;
    let damaged = letters.damaged.len();
    if damaged > 0 {
        tracing::error!(
            webhook,
            damaged,
            "messages in the store are not believed, and are not sent"
        );
    }
    Ok(letters)
}

/// Why it is not known how far a webhook was told, if it was told before: its mailbox has this version.
const fn lost(version: u64, has_page: bool, is_known: bool) -> Option<&'static str> {
    match (version, has_page) {
        (0, false) if is_known => Some("is no longer in the store"),
        (0, false) | (_, true) => None,
        _ => Some("is not believed"),
    }
}

impl World {
    /// Shows what waits and what is dead.
    fn show(&self, webhook: &str, page: &Page) {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        let gauge = |gauges: &prometheus::IntGaugeVec, value| {
            gauges.with_label_values(&[webhook]).set(number(value));
        };
        gauge(&metrics.webhook_waiting, page.waiting);
        gauge(&metrics.webhook_dead, page.dead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_that_was_there_is_lost_and_one_that_never_was_begins() {
        let is_lost = |version, has_page, is_known| lost(version, has_page, is_known).is_some();
        assert!(!is_lost(0, false, false));
        assert!(is_lost(0, false, true));
        assert!(is_lost(3, false, false) && is_lost(3, false, true));
        assert!(!is_lost(3, true, false) && !is_lost(3, true, true));
    }
}
