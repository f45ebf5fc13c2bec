//! Keeps one webhook, while it is this gateway's turn: reads on, puts messages in, sends them, and notes
//! what came of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::World;
use super::look::Look;
use super::send::Sender;
use super::turn::{BEAT, Lost, Turn};
use crate::clock::{self, Timestamp};
use crate::config;
use crate::upstream::BackendError;
use crate::webhook::{Mailbox, Outcome};

/// How many messages are under way to a receiver at a time.
const AT_ONCE: usize = 8;
/// How often it is looked what the clock has brought about, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The pause after that, at least, as many times as long as it took: of many clients it is no small work.
const REST: u32 = 50;
/// How long what is under way at the end may take.
const LAST: Duration = Duration::from_secs(2);

/// Keeps a webhook.
pub(super) struct Keeper {
    webhook: config::Webhook,
    sender: Sender,
    world: Arc<World>,
}

/// What is under way to the receiver.
#[derive(Default)]
struct UnderWay {
    sending: JoinSet<Outcome>,
    /// The message that each task sends.
    ids: HashMap<Id, String>,
    /// Whether the receiver did not take what was last sent.
    is_unwell: bool,
}

impl UnderWay {
    fn has(&self, id: &str) -> bool {
        self.ids.values().any(|known| known == id)
    }

    fn send(&mut self, id: &str, sending: impl Future<Output = Outcome> + Send + 'static) {
        let task = self.sending.spawn(sending).id();
        self.ids.insert(task, id.to_owned());
    }

    /// The next message that is not under way any more, and what came of it; none when none is. One whose
    /// task panicked was not taken, as far as anybody knows: it must not stay here and keep others out.
    async fn done(&mut self) -> Option<(String, Outcome)> {
        let (task, outcome) = match self.sending.join_next_with_id().await? {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a message could not be sent: this is a defect of Keyferry");
                let why = "this gateway failed while it sent it".to_owned();
                (error.id(), Outcome::Failed { why, asked: None })
            }
        };
        Some((self.ids.remove(&task)?, outcome))
    }
}

impl Keeper {
    pub(super) fn new(webhook: config::Webhook, world: Arc<World>) -> Result<Self, BackendError> {
        Ok(Self {
            sender: Sender::to(&webhook)?,
            webhook,
            world,
        })
    }

    /// Keeps it whenever it is this gateway's turn, until `ended`.
    pub(super) async fn run(self, mut ended: watch::Receiver<bool>) {
        let mut is_known = false;
        while !*ended.borrow() {
            let turn = tokio::select! {
                turn = Turn::of(&self.world, &self.webhook, &mut is_known) => turn,
                () = the_end(&mut ended) => return,
            };
            if matches!(self.keep(turn, &mut ended).await, Err(Lost)) {
                tracing::info!(
                    webhook = self.webhook.name,
                    "another gateway tells the webhook now"
                );
            }
        }
    }

    async fn keep(
        &self,
        mut turn: Turn<'_>,
        ended: &mut watch::Receiver<bool>,
    ) -> Result<(), Lost> {
        let look = Look::new(&self.world, &self.webhook);
        let mut under_way = UnderWay::default();
        let mut history = self.world.directory.watch();
        history.mark_changed();
        let (mut beat, mut clock) = (interval(BEAT), interval(LOOK_EVERY));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = self.send_due(turn.mailbox(), &mut under_way);
            tokio::select! {
                // The history is read further as well once there is room again.
                _ = beat.tick() => {
                    look.read_on(&mut turn).await?;
                    look.brownouts(&mut turn).await?;
                    let is_needed = waits_for_the_gone(turn.mailbox());
                    turn.beat(is_needed, bury_for_the_gone).await?;
                }
                Ok(()) = history.changed() => look.read_on(&mut turn).await?,
                _ = clock.tick() => {
                    let begun = clock::monotonic();
                    look.clock(&mut turn).await?;
                    let rest = begun.elapsed().saturating_mul(REST);
                    clock.reset_after(rest.max(LOOK_EVERY));
                }
                Some((id, outcome)) = under_way.done() => {
                    self.note(&mut turn, &mut under_way, &id, &outcome).await?;
                }
                () = sleep(next) => {}
                () = the_end(ended) => break,
            }
        }
        let last = async {
            while let Some((id, outcome)) = under_way.done().await {
                self.note(&mut turn, &mut under_way, &id, &outcome).await?;
            }
            Ok::<(), Lost>(())
        };
        // What comes later is a repeat to the receiver.
        let _ = timeout(LAST, last).await;
        turn.update(|mailbox| mailbox.page.keeper = None).await
    }

    /// Begins to send what is due, the oldest first; gives how long until something else is.
    fn send_due(&self, mailbox: &Mailbox, under_way: &mut UnderWay) -> Duration {
        let now = clock::now();
        let waiting = mailbox.letters().filter(|letter| letter.waits());
        let mut waiting: Vec<_> = waiting
            .filter(|letter| !under_way.has(&letter.id))
            .collect();
        waiting.sort_unstable_by_key(|letter| (letter.due(now), letter.at));
        let mut wait = BEAT;
        for letter in waiting {
            let due = letter.due(now);
            if due > now {
                let until = due.seconds_since(now).unsigned_abs();
                wait = wait.min(Duration::from_secs(until));
                break;
            }
            if mailbox.page.gone.is_some() || under_way.ids.len() >= AT_ONCE {
                break;
            }
            let sender = self.sender.clone();
            let (id, body) = (letter.id.clone(), letter.body.clone());
            under_way.send(
                &letter.id,
                async move { sender.send(&id, &body).await.outcome },
            );
        }
        wait
    }

    /// Notes what came of sending the message `id`.
    async fn note(
        &self,
        turn: &mut Turn<'_>,
        under_way: &mut UnderWay,
        id: &str,
        outcome: &Outcome,
    ) -> Result<(), Lost> {
        let now = clock::now();
        let result = if *outcome == Outcome::Taken {
            "sent"
        } else {
            "failed"
        };
        let deliveries = &self.world.metrics.webhook_deliveries;
        deliveries
            .with_label_values(&[&self.webhook.name, result])
            .inc();
        self.tell(under_way, outcome);
        turn.update(|mailbox| noted(mailbox, id, outcome, now))
            .await?;
        let dead = turn.mailbox().letters().find(|letter| letter.id == id);
        if let Some(letter) = dead.filter(|letter| !letter.waits()) {
            tracing::error!(
                webhook = self.webhook.name,
                id,
                kind = letter.kind.as_str(),
                attempts = letter.attempts,
                why = letter.why,
                "a message is dead: it is not sent again unless you say so (keyferry webhook retry)"
            );
        }
        Ok(())
    }

    /// Says once that something is wrong, and that it is over.
    fn tell(&self, under_way: &mut UnderWay, outcome: &Outcome) {
        let webhook = self.webhook.name.as_str();
        match outcome {
            Outcome::Taken if under_way.is_unwell => {
                tracing::info!(webhook, "the receiver of a webhook takes messages again");
            }
            Outcome::Failed { why, .. } if !under_way.is_unwell => {
                tracing::warn!(
                    webhook,
                    why,
                    "the receiver of a webhook does not take a message; it is sent again"
                );
            }
            Outcome::Gone if !under_way.is_unwell => {
                tracing::error!(
                    webhook,
                    "the receiver of a webhook wants nothing any more (410): nothing is sent until you say so (keyferry webhook retry)"
                );
            }
            Outcome::Taken | Outcome::Failed { .. } | Outcome::Gone => {}
        }
        under_way.is_unwell = *outcome != Outcome::Taken;
    }
}

async fn the_end(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

/// What came of a message, in the mailbox.
fn noted(mailbox: &mut Mailbox, id: &str, outcome: &Outcome, now: Timestamp) {
    match outcome {
        Outcome::Taken => {
            mailbox.with(id, |_| true);
            mailbox.page.taken = Some(now);
        }
        Outcome::Failed { why, asked } => {
            mailbox.with(id, |letter| {
                letter.failed(why, *asked, now, clock::jittered);
                false
            });
            mailbox.page.failed = Some((now, why.clone()));
        }
        Outcome::Gone => {
            mailbox.page.failed = Some((now, "it answers 410".to_owned()));
            mailbox.page.gone = Some(now);
            mailbox.with(id, |letter| {
                letter.die("it answers 410: it wants nothing any more", now);
                false
            });
        }
    }
}

/// Whether something waits for a receiver that wants nothing any more.
const fn waits_for_the_gone(mailbox: &Mailbox) -> bool {
    mailbox.page.gone.is_some() && mailbox.page.waiting > 0
}

/// What waits is dead when the receiver wants nothing any more.
fn bury_for_the_gone(mailbox: &mut Mailbox) {
    let Some(since) = mailbox.page.gone else {
        return;
    };
    let waiting = mailbox.letters().filter(|letter| letter.waits());
    for id in waiting.map(|letter| letter.id.clone()).collect::<Vec<_>>() {
        mailbox.with(&id, |letter| {
            letter.die("the receiver wants nothing any more (410)", since);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{Head, Legible};
    use crate::webhook::{Kind, Message, Page};

    #[test]
    fn for_a_receiver_that_wants_nothing_something_is_to_be_done_only_while_something_waits() {
        let now = Timestamp::from_unix(1_795_418_999);
        let page = Page::new(Head::default(), now);
        let mut mailbox = Mailbox::new((1, page), Legible::default());
        mailbox.put(&Message::new(Kind::Test, now, &["a"], json!({})), now);
        assert_eq!(mailbox.posting("hook").letters.len(), 1);
        assert!(!waits_for_the_gone(&mailbox));
        mailbox.page.gone = Some(now);
        assert!(waits_for_the_gone(&mailbox));
        bury_for_the_gone(&mut mailbox);
        assert_eq!(mailbox.posting("hook").letters.len(), 1);
        assert!(!waits_for_the_gone(&mailbox));
        assert_eq!((mailbox.page.dead, mailbox.page.waiting), (1, 0));
    }

    #[tokio::test]
    async fn a_message_whose_task_panics_is_not_under_way_any_more() {
        let mut under_way = UnderWay::default();
        under_way.send("a", async { panic!("as a defect does") });
        under_way.send("b", async { Outcome::Taken });
        assert!(under_way.has("a") && under_way.has("b"));
        let mut done = Vec::new();
        while let Some(one) = under_way.done().await {
            done.push(one);
        }
        done.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        assert!(
            matches!(&*done, [(a, Outcome::Failed { .. }), (b, Outcome::Taken)] if a == "a" && b == "b"),
            "{done:?}"
        );
        assert!(under_way.ids.is_empty());
    }
}
