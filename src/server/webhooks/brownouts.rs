//! What brownouts do: when one begins and ends to refuse certificates, and how often it did.
//!
//! Which ones refuse is noted on the page, and held against which do now: so the beginning and the end of
//! each are told once, also when the gateway that saw the one is not there for the other.

use std::collections::BTreeMap;

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
        let (noted, room) = (&turn.mailbox().page.brownouts, turn.mailbox().room());
        let (mut next, mut messages) = (noted.clone(), Vec::new());
        let told = self.compare(&mut next, &mut messages, room).await;
        if let Err(error) = told {
            self.cannot(&error);
            return Ok(());
        }
        if next == *noted {
            return Ok(());
        }
        let note = |page: &mut Page| page.brownouts.clone_from(&next);
        self.put(turn, messages, note).await
    }

    /// Brings what was noted to the present, and tells the difference, as far as there is room.
    async fn compare(
        &self,
        noted: &mut BTreeMap<String, UnderWay>,
        messages: &mut Vec<Message>,
        room: usize,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let refusing = self.refusing(now);
        for (name, one) in &refusing {
            if let Some(known) = noted.get_mut(name) {
                // It goes on with the next window before the end of the last was told.
                known.over = None;
            } else if messages.len() < room {
                messages.push(begun(name, one, now));
                let begun = UnderWay {
                    version: one.version,
                    since: now,
                    spent: self.world.store.spent(one.version).await?,
                    over: None,
                };
                noted.insert(name.clone(), begun);
            }
        }
        let mut ended = Vec::new();
        let over = noted
            .iter_mut()
            .filter(|(name, _)| !refusing.contains_key(*name));
        for (name, known) in over {
            let over = *known.over.get_or_insert(now);
            let has_room = messages.len().saturating_add(ended.len()) < room;
            if has_room && now.seconds_since(over) >= LATE {
                ended.push((name.clone(), *known));
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        let sightings = self.world.store.sightings().await?.entries;
        for (name, known) in ended {
            messages.extend(self.ended(&name, known, &sightings).await?);
            noted.remove(&name);
        }
        Ok(())
    }

    /// Those that refuse now, by the names under which they are noted.
    fn refusing(&self, now: Timestamp) -> BTreeMap<String, Now> {
        let mut refusing = BTreeMap::new();
        self.world.directory.view().phases(|phase| {
            let Some(brownout) = phase.brownout() else {
                return;
            };
            if let Some(until) = brownout.plan.under_way(now) {
                let one = Now {
                    target: phase.target.clone(),
                    version: phase.version,
                    until,
                    budget: brownout.budget,
                };
                refusing.insert(name(&one.target, one.version), one);
            }
        });
        refusing
    }

    async fn ended(
        &self,
        name: &str,
        known: UnderWay,
        sightings: &[Sighting],
    ) -> Result<Option<Message>, StoreError> {
        let (Some(target), Some(over)) = (target(name), known.over) else {
            return Ok(None);
        };
        let store = &self.world.store;
        let refusals = store.spent(known.version).await?;
        let refusals = refusals.saturating_sub(known.spent);
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

fn begun(name: &str, one: &Now, now: Timestamp) -> Message {
    let data = json!({
        "target": one.target,
        "until": one.until.map(|until| until.to_string()),
        "budget": one.budget,
        "change": one.version,
    });
    let about = [name, &now.to_string()];
    Message::new(Kind::BrownoutBegun, now, &about, data)
}

/// Under which a brownout is noted: another setting for the same target is another brownout.
fn name(target: &Target, version: Epoch) -> String {
    format!("{version} {target}")
}

fn target(name: &str) -> Option<Target> {
    name.split_once(' ')?.1.parse().ok()
}
