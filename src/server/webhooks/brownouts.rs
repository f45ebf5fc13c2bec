//! What brownouts do: when one begins and ends to refuse certificates, and how often it did.
//!
//! Which ones refuse is noted on the page, and held against which do now: so the beginning and the end of
//! each are told once, also when the gateway that saw the one is not there for the other.

use serde_json::json;

use super::look::Look;
use super::turn::{Lost, Turn};
use crate::client::{RefusalCode, Sighting};
use crate::clock::{self, Timestamp};
use crate::gateway::Code;
use crate::phase::{InForce, Phase, Target};
use crate::store::{Actor, Epoch, StoreError};
use crate::webhook::{Kind, Message, Page, UnderWay};

/// How many seconds after the end it is told: by then gateways told the store how often they refused.
const LATE: i64 = 8;

/// A brownout that refuses now.
struct Now {
    target: Target,
    version: Epoch,
    until: Option<Timestamp>,
    budget: Option<u64>,
}

impl Look<'_> {
    /// Tells of brownouts that have begun or ended since.
    pub(super) async fn brownouts(&self, turn: &mut Turn<'_>) -> Result<(), Lost> {
        let kinds = [
            Kind::BrownoutBegun,
            Kind::BrownoutEnded,
            Kind::BrownoutStopped,
        ];
        let directory = &self.world.directory;
        if !kinds.iter().any(|kind| self.wants(*kind))
            || !directory.is_loaded()
            || !directory.is_reachable()
        {
            return Ok(());
        }
        let page = turn.mailbox().page.clone();
        let now = clock::now();
        let (mut next, mut messages) = (page.brownouts.clone(), Vec::new());
        let told = self.compare(&mut next, &mut messages, now).await;
        if let Err(error) = told {
            self.cannot(&error);
            return Ok(());
        }
        if next == page.brownouts {
            return Ok(());
        }
        let note = |page: &mut Page| page.brownouts.clone_from(&next);
        self.put(turn, messages, note).await
    }

    /// Brings what was noted to the present, and tells the difference.
    async fn compare(
        &self,
        noted: &mut std::collections::BTreeMap<String, UnderWay>,
        messages: &mut Vec<Message>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let refusing = self.refusing(now);
        for one in &refusing {
            let name = name(&one.target, one.version);
            if let Some(known) = noted.get_mut(&name) {
                // It goes on with the next window before the end of the last was told.
                known.over = None;
                continue;
            }
            let spent = self.world.store.spent(one.version).await?;
            messages.push(begun(one, now));
            let begun = UnderWay {
                version: one.version,
                since: now,
                spent,
                over: None,
            };
            noted.insert(name, begun);
        }
        let is_on = |noted: &str| {
            refusing
                .iter()
                .any(|one| name(&one.target, one.version) == *noted)
        };
        let mut ended = Vec::new();
        for (name, known) in noted.iter_mut().filter(|(name, _)| !is_on(name)) {
            let over = *known.over.get_or_insert(now);
            if now.seconds_since(over) >= LATE {
                ended.push(name.clone());
            }
        }
        for name in ended {
            if let Some(known) = noted.remove(&name) {
                messages.extend(self.ended(&name, known, now).await?);
            }
        }
        Ok(())
    }

    fn refusing(&self, now: Timestamp) -> Vec<Now> {
        let mut refusing = Vec::new();
        self.world.directory.view().phases(|phase| {
            let Some(brownout) = phase.brownout() else {
                return;
            };
            if let Some(until) = brownout.plan.under_way(now) {
                refusing.push(Now {
                    target: phase.target.clone(),
                    version: phase.version,
                    until,
                    budget: brownout.budget,
                });
            }
        });
        refusing
    }

    async fn ended(
        &self,
        name: &str,
        known: UnderWay,
        now: Timestamp,
    ) -> Result<Option<Message>, StoreError> {
        let over = known.over.unwrap_or(now);
        let Some(target) = target(name) else {
            return Ok(None);
        };
        let store = &self.world.store;
        let refusals = store.spent(known.version).await?;
        let refusals = refusals.saturating_sub(known.spent);
        let sightings = store.sightings().await?;
        let (view, mut is_stopped) = (self.world.directory.view(), false);
        view.phases(|phase| {
            is_stopped |= phase.target == target && is_stop(phase, known.version);
        });
        // As far as the last refusal of a client tells.
        let was_refused = |sighting: &&Sighting| {
            let refused = sighting.refused.as_ref();
            refused.is_some_and(|last| {
                let code = RefusalCode::known(Code::Brownout.as_str());
                last.code == code && (known.since..=over).contains(&last.at)
            })
        };
        let is_concerned = |sighting: &&Sighting| {
            let holds = view.phase_of(&sighting.client);
            holds.is_none_or(|holds| holds.target == target)
        };
        let clients = sightings
            .entries
            .iter()
            .filter(was_refused)
            .filter(is_concerned)
            .count();
        let kind = if is_stopped {
            Kind::BrownoutStopped
        } else {
            Kind::BrownoutEnded
        };
        let data = json!({
            "target": target,
            "since": known.since.to_string(),
            "refusals": refusals,
            "clients": clients,
            "change": known.version,
        });
        let about = [name, &known.since.to_string()];
        Ok(Some(Message::new(kind, over, &about, data)))
    }
}

/// Whether this is what the gateway sets when a brownout has spent its budget.
fn is_stop(phase: &InForce, version: Epoch) -> bool {
    phase.version > version && phase.phase() == Phase::Announce && phase.actor == Actor::Gateway
}

fn begun(one: &Now, now: Timestamp) -> Message {
    let data = json!({
        "target": one.target,
        "until": one.until.map(|until| until.to_string()),
        "budget": one.budget,
        "change": one.version,
    });
    let about = [&*name(&one.target, one.version), &now.to_string()];
    Message::new(Kind::BrownoutBegun, now, &about, data)
}

/// Under which a brownout is noted: another setting for the same target is another brownout.
fn name(target: &Target, version: Epoch) -> String {
    format!("{version} {target}")
}

fn target(name: &str) -> Option<Target> {
    name.split_once(' ')?.1.parse().ok()
}
