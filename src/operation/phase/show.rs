//! Settings as commands print them.

use serde::Serialize;

use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::config::Period;
use crate::operation::view::{moment, rfc_3339};
use crate::operation::{Did, Operator};
use crate::operation::{Failure, Out};
use crate::phase::{Phase, Schedule, Setting, Target};
use crate::store::Actor;

use super::outlook::Concerned;

/// How many names a line for people holds.
const NAMED: usize = 20;
/// What is said before the names of those of whom nobody can tell.
pub(super) const UNREADABLE: &str = "; these may have, since their last times cannot be read: ";

/// A setting; the names of the fields are what scripts rely on.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct SettingView {
    pub(super) phase: Phase,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(super) since: Option<Timestamp>,
    pub(super) by: String,
    pub(super) reason: Option<String>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(super) announced_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(super) sunset: Option<Timestamp>,
    pub(super) guide: Option<String>,
    pub(super) expired_for_seconds: Option<u64>,
    pub(super) brownout: Option<BrownoutView>,
}

#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct BrownoutView {
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    begins: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    ends: Option<Timestamp>,
    schedule: Schedule,
    budget: Option<u64>,
    /// When it refuses next; nothing when it is over.
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    next_refusal: Option<Timestamp>,
}

/// What a command did, or would do.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    pub(super) did: Did,
    pub(super) target: &'a Target,
    /// What holds for the target then; nothing when nothing is set for it any more.
    pub(super) setting: Option<SettingView>,
    pub(super) clients: Concerned,
}

impl SettingView {
    pub(super) fn of(setting: &Setting, now: Timestamp) -> Self {
        Self {
            phase: setting.phase(),
            since: Some(setting.since),
            by: match &setting.actor {
                Actor::Gateway => "the gateway".to_owned(),
                Actor::Client { id } => id.to_string(),
                Actor::Operator { name } => name.clone(),
            },
            reason: setting.reason.as_ref().map(ToString::to_string),
            announced_at: setting.announced,
            sunset: setting.sunset,
            guide: setting
                .guide
                .as_ref()
                .map(|guide| guide.as_str().to_owned()),
            expired_for_seconds: setting.expired_for.map(|period| period.as_secs()),
            brownout: setting.brownout().map(|brownout| BrownoutView {
                begins: Some(brownout.plan.begins),
                ends: brownout.plan.ends,
                schedule: brownout.plan.schedule.clone(),
                budget: brownout.budget,
                next_refusal: brownout.plan.next(now),
            }),
        }
    }

    /// What is special about it, in one cell.
    pub(super) fn details(&self) -> String {
        let mut parts = Vec::new();
        if let Some(brownout) = &self.brownout {
            parts.push(brownout.schedule.to_string());
            parts.push(match (brownout.next_refusal, brownout.begins) {
                (None, _) => "over".to_owned(),
                (Some(next), begins) if begins.is_some_and(|begins| next <= begins) => {
                    format!("first refusal {next}")
                }
                (Some(next), _) => format!("next refusal {next}"),
            });
            parts.extend(brownout.budget.map(|budget| format!("budget {budget}")));
        }
        parts.extend(self.sunset.map(|sunset| format!("sunset {sunset}")));
        let days = self.expired_for_seconds.map(|seconds| seconds / 3600);
        parts.extend(days.map(|hours| format!("expired ones good for {hours} h")));
        parts.join(" · ")
    }
}

impl Report<'_> {
    /// Prints it, with what it does to clients that still call by certificate.
    pub(super) fn show(&self, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
        let setting = self.setting.as_ref();
        let phase = setting.map_or("no phase of its own", |setting| setting.phase.as_str());
        let target = self.target;
        let mut lines = vec![format!(
            "{} {target} to {phase}, which holds for {} client(s)",
            self.did.word("set", "would set"),
            self.clients.total
        )];
        let details = setting.map(SettingView::details).unwrap_or_default();
        lines.extend(Some(details).filter(|details| !details.is_empty()));
        let effect = setting.and_then(|setting| match setting.phase {
            Phase::Accept => None,
            Phase::Announce => Some("tell"),
            Phase::Brownout | Phase::Retired => Some("refuse"),
        });
        if let Some(effect) = effect {
            let window = Period::from(operator.settings.window);
            lines.push(format!(
                "{} {effect} {} client(s) that called by certificate in the last {window} (until a \
                 few seconds ago: that is how long gateways take to tell), {} of which never fetched \
                 a key{}{}",
                self.did.word("will", "would"),
                self.clients.by_certificate.len(),
                self.clients.without_key.len(),
                listed(": ", &self.clients.by_certificate),
                listed(UNREADABLE, &self.clients.unreadable),
            ));
        }
        out.show(self, lines.join("\n"))
    }
}

/// As many names as a line holds, after `begin` when there are any.
pub(in crate::operation) fn listed(begin: &str, clients: &[ClientId]) -> String {
    if clients.is_empty() {
        return String::new();
    }
    let names: Vec<_> = clients.iter().take(NAMED).map(ClientId::as_str).collect();
    let more = clients.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more (--output json lists all)")
    } else {
        String::new()
    };
    format!("{begin}{}{more}", names.join(", "))
}
