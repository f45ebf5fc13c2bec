//! What was seen of a client, for `keyferry client show`.

use std::collections::HashMap;

use serde::Serialize;

use crate::client::{ClientId, Counts, CredentialId, History, LastUse, Sighting, Use};
use crate::clock::{Day, Timestamp};
use crate::operation::Failure;
use crate::operation::Operator;
use crate::operation::table::{fields, number, relative};
use crate::operation::view::{moment, rfc_3339};

/// How many days are shown.
const DAYS: u32 = 30;

/// One of the counts.
type Kind = fn(&Counts) -> u64;

/// What was last seen of credentials, by their names.
pub(super) struct Uses(HashMap<CredentialId, LastUse>);

/// A certificate or a key, and its last use.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Used{T}")]
pub(super) struct Used<T> {
    #[serde(flatten)]
    pub(super) of: T,
    pub(super) last_used: Option<LastUsed>,
}

/// When and from where a credential was last used.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct LastUsed {
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    at: Option<Timestamp>,
    from: String,
}

impl From<Vec<Use>> for Uses {
    fn from(uses: Vec<Use>) -> Self {
        let uses = uses.into_iter();
        Self(uses.map(|used| (used.credential, used.last)).collect())
    }
}

impl Uses {
    pub(super) fn with<T>(&self, of: T, credential: CredentialId) -> Used<T> {
        let last = self.0.get(&credential);
        let last_used = last.map(|last| LastUsed {
            at: Some(last.at),
            from: last.from.to_string(),
        });
        Used { of, last_used }
    }
}

impl<T> Used<T> {
    /// The last use in one line.
    pub(super) fn last_used(&self, now: Timestamp) -> String {
        let used = self.last_used.as_ref();
        let used = used.and_then(|used| Some((used.at?, &used.from)));
        used.map_or_else(
            || "never".to_owned(),
            |(at, from)| format!("{at} ({}) from {from}", relative(at, now)),
        )
    }
}

/// What went wrong last, and how many requests came.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Activity {
    last_refusal: Option<Refusal>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    last_conflict: Option<Timestamp>,
    /// The days on which requests came.
    requests: Vec<Requests>,
    #[serde(skip)]
    today: Day,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Refusal {
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    at: Option<Timestamp>,
    reason: String,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Requests {
    day: Day,
    #[serde(flatten)]
    counts: Counts,
}

/// The requests of `client` on the days that are shown.
pub(super) async fn history(operator: &Operator, client: &ClientId) -> Result<History, Failure> {
    let today = operator.now.day();
    let days = today.minus(DAYS.saturating_sub(1))..=today;
    operator.counts(client, days).await
}

impl Activity {
    pub(super) fn of(history: History, sighting: Option<&Sighting>, now: Timestamp) -> Self {
        let refused = sighting.and_then(|sighting| sighting.refused.as_ref());
        Self {
            last_refusal: refused.map(|refused| Refusal {
                at: Some(refused.at),
                reason: refused.code.as_str().to_owned(),
            }),
            last_conflict: sighting.and_then(|sighting| sighting.conflict),
            requests: history
                .into_iter()
                .map(|(day, counts)| Requests { day, counts })
                .collect(),
            today: now.day(),
        }
    }

    /// For people: what went wrong, and a line of days for each kind of request.
    pub(super) fn text(&self, now: Timestamp) -> String {
        let moment = |at: Timestamp| format!("{at} ({})", relative(at, now));
        let refusal = self.last_refusal.as_ref();
        let refusal = refusal.and_then(|it| Some(format!("{} {}", it.reason, moment(it.at?))));
        let never = || "never".to_owned();
        let mut lines = vec![
            ("last refused", refusal.unwrap_or_else(never)),
            (
                "last conflict",
                self.last_conflict.map_or_else(never, moment),
            ),
        ];
        if self.requests.is_empty() {
            lines.push(("requests", format!("none in {DAYS} days")));
            return fields(lines);
        }
        let first = self.today.minus(DAYS.saturating_sub(1));
        lines.push((
            "requests",
            format!("from {first} to {}, a day a bar", self.today),
        ));
        let kinds: [(&str, Kind); 3] = [
            ("  certificate", |counts| counts.by_certificate),
            ("  key", |counts| counts.by_key),
            ("  refused", |counts| counts.refused),
        ];
        let counts = self.requests.iter().map(|requests| &requests.counts);
        let most = kinds
            .iter()
            .flat_map(|(_, of)| counts.clone().map(of))
            .max()
            .unwrap_or(0);
        for (name, of) in kinds {
            let sum = counts.clone().map(of).fold(0, u64::saturating_add);
            let sum = number(usize::try_from(sum).unwrap_or(usize::MAX));
            lines.push((name, format!("{} {sum}", self.bars(of, most))));
        }
        fields(lines)
    }

    /// A bar for each day, where `most` has the full height; a dot where nothing came.
    fn bars(&self, of: Kind, most: u64) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let height = |count: u64| {
            let eighths = u128::from(count)
                .saturating_mul(8)
                .div_ceil(u128::from(most.max(1)));
            usize::try_from(eighths).unwrap_or(BARS.len())
        };
        let days = (0..DAYS).rev().map(|back| self.today.minus(back));
        days.map(|day| {
            let found = self.requests.iter().find(|requests| requests.day == day);
            let count = found.map_or(0, |requests| of(&requests.counts));
            let bar = height(count).checked_sub(1).and_then(|bar| BARS.get(bar));
            bar.copied().unwrap_or('·')
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_of_each_kind_are_a_line_of_bars() {
        let today = Day::from_number(20_780);
        let day = |back, by_certificate, by_key| Requests {
            day: today.minus(back),
            counts: Counts {
                by_certificate,
                by_key,
                refused: 0,
            },
        };
        let activity = Activity {
            last_refusal: None,
            last_conflict: Some(today.start()),
            requests: vec![day(29, 800, 0), day(1, 100, 1), day(0, 0, 1_600)],
            today,
        };
        let text = activity.text(today.start());
        let expected = format!(
            "last refused    never\n\
             last conflict   2026-11-23T00:00:00Z (0 s ago)\n\
             requests        from 2026-10-25 to 2026-11-23, a day a bar\n  \
             certificate   ▄{dots}▁· 900\n  \
             key           ·{dots}▁█ 1,601\n  \
             refused       {dots}··· 0",
            dots = "·".repeat(27)
        );
        assert_eq!(text, expected);
    }
}
