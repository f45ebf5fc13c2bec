//! `keyferry replica list`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::operation::table::{relative, table};
use crate::operation::view::in_rfc_3339;
use crate::operation::{Failure, Operator, Out};
use crate::store::{Epoch, Heard, ReplicaState};

/// A gateway tells of itself every 15 seconds; who was not heard of for so long, in seconds, is gone.
const GONE_AFTER: u64 = 50;

/// Show the gateways that share the store, how each is, and in what they differ
///
/// Each tells the store of itself every 15 seconds. One that was not heard of for 50 seconds is gone,
/// and after an hour it is forgotten.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What `--output json` prints.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    replicas: Vec<Line>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Line {
    /// Which process it is.
    id: String,
    /// The machine that it runs on.
    host: String,
    state: State,
    version: String,
    /// Since when it runs.
    #[serde(serialize_with = "in_rfc_3339")]
    #[schemars(with = "String")]
    since: Timestamp,
    /// How many seconds ago it told that.
    heard_seconds_ago: u64,
    /// The last change that it knew of.
    epoch: Epoch,
    /// How many seconds before that it had last heard of the store.
    store_age_seconds: u64,
    /// The same at gateways with the same settings, files and secrets.
    configuration: String,
    /// Whether it runs with its configuration as it was last read.
    configuration_taken_over: bool,
    /// In what it is not as most of those that run.
    differs_in: Vec<&'static str>,
}

/// How a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It has not loaded everything yet.
    Starting,
    /// It serves.
    Ready,
    /// It has not heard of its store for too long, and serves nobody.
    Stale,
    /// It ends when the requests that are under way have.
    Draining,
    /// It has ended.
    Stopped,
    /// It was not heard of for a while.
    Gone,
    /// Something that this version does not know.
    Other,
}

impl State {
    const fn of(state: ReplicaState, heard_seconds_ago: u64) -> Self {
        match state {
            ReplicaState::Stopped => Self::Stopped,
            _ if heard_seconds_ago >= GONE_AFTER => Self::Gone,
            ReplicaState::Starting => Self::Starting,
            ReplicaState::Ready => Self::Ready,
            ReplicaState::Stale => Self::Stale,
            ReplicaState::Draining => Self::Draining,
            ReplicaState::Other => Self::Other,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stale => "stale",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
            Self::Other => "other",
        }
    }

    /// Whether it runs, as far as is known.
    const fn runs(self) -> bool {
        !matches!(self, Self::Stopped | Self::Gone)
    }
}

pub(super) async fn run(_: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let heard = operator.store.replicas().await;
    let heard = heard.map_err(|error| operator.cannot_tell(&error))?;
    let unread = heard.damaged.len();
    let report = Report::of(heard.entries);
    if unread > 0 {
        out.note(format!(
            "{unread} gateway(s) told something that cannot be read"
        ));
    }
    if report.replicas.is_empty() && !out.is_json() {
        out.note("no gateway has told of itself within the last hour");
        return Ok(());
    }
    let text = report.text(operator.now);
    out.show(&report, text)
}

impl Report {
    fn of(heard: Vec<Heard>) -> Self {
        let mut replicas: Vec<_> = heard.into_iter().map(Line::of).collect();
        replicas.sort_by(|one, other| {
            let place = |line: &Line| (line.host.clone(), line.since, line.id.clone());
            place(one).cmp(&place(other))
        });
        for (name, of) in DIFFERENCES {
            let unusual = unusual(&replicas, of);
            let running = replicas.iter_mut().filter(|line| line.state.runs());
            for line in running.filter(|line| unusual.contains(&of(line).to_owned())) {
                line.differs_in.push(name);
            }
        }
        Self { replicas }
    }

    fn text(&self, now: Timestamp) -> String {
        let header = [
            "host",
            "state",
            "version",
            "up since",
            "heard of",
            "differs in",
        ];
        let rows = self.replicas.iter().map(|line| {
            let mut differs = line.differs_in.clone();
            if line.state.runs() && !line.configuration_taken_over {
                differs.push("its own file, which it did not take over");
            }
            [
                line.host.clone(),
                line.state.as_str().to_owned(),
                line.version.clone(),
                relative(line.since, now),
                format!("{} s ago", line.heard_seconds_ago),
                differs.join(", "),
            ]
        });
        table(header, rows)
    }
}

/// A part of what a gateway tells.
type Part = fn(&Line) -> &str;

/// What gateways should have in common, and what that is of one.
const DIFFERENCES: [(&str, Part); 2] = [
    ("version", |line| &line.version),
    ("configuration", |line| &line.configuration),
];

/// What those that run have which is not what most have; all of it where no most can be told.
fn unusual(replicas: &[Line], of: Part) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for line in replicas.iter().filter(|line| line.state.runs()) {
        let count = counts.entry(of(line)).or_default();
        *count = count.saturating_add(1);
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let is_tie = counts.values().filter(|count| **count == most).count() > 1;
    let unusual = counts
        .into_iter()
        .filter(|(_, count)| is_tie || *count < most);
    unusual.map(|(value, _)| value.to_owned()).collect()
}

impl Line {
    fn of(Heard { replica, ago }: Heard) -> Self {
        Self {
            state: State::of(replica.state, ago),
            id: replica.id,
            host: replica.host,
            version: replica.version,
            since: replica.since,
            heard_seconds_ago: ago,
            epoch: replica.epoch,
            store_age_seconds: replica.store_age,
            configuration: replica.configuration,
            configuration_taken_over: replica.is_taken_over,
            differs_in: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Replica;

    fn heard(id: &str, version: &str, state: ReplicaState, ago: u64) -> Heard {
        let replica = Replica {
            id: id.to_owned(),
            host: "gw".to_owned(),
            version: version.to_owned(),
            since: Timestamp::from_unix(5),
            state,
            epoch: Epoch(7),
            store_age: 0,
            configuration: "00".to_owned(),
            is_taken_over: true,
        };
        Heard { replica, ago }
    }

    #[test]
    fn who_is_not_heard_of_is_gone_and_who_said_so_has_stopped() {
        let state = |state, ago| State::of(state, ago);
        assert_eq!(state(ReplicaState::Ready, 49), State::Ready);
        assert_eq!(state(ReplicaState::Ready, 50), State::Gone);
        assert_eq!(state(ReplicaState::Stopped, 0), State::Stopped);
        assert_eq!(state(ReplicaState::Stopped, 999), State::Stopped);
    }

    #[test]
    fn whoever_is_not_as_most_that_run_differs() {
        let ready = ReplicaState::Ready;
        let differing = |heard: Vec<Heard>| {
            let report = Report::of(heard);
            let differing = report.replicas.into_iter();
            let differing = differing.filter(|line| !line.differs_in.is_empty());
            differing.map(|line| line.id).collect::<Vec<_>>()
        };
        let one = heard("a", "1", ready, 0);
        let same = heard("b", "1", ready, 0);
        let other = heard("c", "2", ready, 0);
        assert_eq!(differing(vec![one.clone(), same.clone()]), [""; 0]);
        let three = vec![one.clone(), same, other.clone()];
        assert_eq!(differing(three), ["c"]);
        assert_eq!(differing(vec![one.clone(), other]), ["a", "c"]);
        // Who has ended is no measure.
        let gone = heard("c", "2", ready, 60);
        assert_eq!(differing(vec![one, gone]), [""; 0]);
    }
}
