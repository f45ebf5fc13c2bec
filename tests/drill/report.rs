//! What the drill tells at its end: the stages at every step, and what the clients met.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keyferry::client::Stage;
use serde_json::Value;

use super::fleet::Fleet;

/// How wide the chart is, in characters.
const WIDTH: usize = 60;

/// How each stage is drawn.
const MARKS: [(Stage, char); 6] = [
    (Stage::Registered, '.'),
    (Stage::CertOnly, 'C'),
    (Stage::KeyIssued, 'i'),
    (Stage::Dual, 'd'),
    (Stage::KeyOnly, 'K'),
    (Stage::Retired, 'x'),
];

/// How many clients were at which stage after a step.
pub(crate) struct Step {
    name: &'static str,
    stages: BTreeMap<String, usize>,
}

/// Every step so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// Takes in what `keyferry status --output json` said after a step.
    pub(crate) fn step(&mut self, name: &'static str, status: &Value) -> &Step {
        self.steps.push(Step::read(name, status));
        self.steps.last().expect("the step")
    }

    /// The chart, and what became of whom.
    pub(crate) fn text(&self, fleet: &Fleet) -> String {
        let mut text = String::from("\nstages after each step\n");
        for step in &self.steps {
            let total: usize = step.stages.values().sum::<usize>().max(1);
            let mut bar = String::new();
            let (mut drawn, mut counted) = (0, 0);
            for (stage, mark) in MARKS {
                counted += step.at(stage);
                let until = counted * WIDTH / total;
                bar.extend(std::iter::repeat_n(mark, until - drawn));
                drawn = until;
            }
            let counts: Vec<_> = step
                .stages
                .iter()
                .filter(|(_, count)| **count > 0)
                .collect();
            let counts: Vec<_> = counts
                .iter()
                .map(|(stage, n)| format!("{stage} {n}"))
                .collect();
            let _ = writeln!(
                text,
                "{:<36} {bar:<WIDTH$}  {}",
                step.name,
                counts.join(", ")
            );
        }
        text.push_str("marks: . registered, C cert-only, i key-issued, d dual, K key-only\n\n");
        let mut by_situation: BTreeMap<_, (usize, usize, BTreeMap<String, usize>)> =
            BTreeMap::new();
        fleet.each(|member| {
            let sum = by_situation.entry(member.situation).or_default();
            sum.0 += 1;
            sum.1 += member.requests;
            for (reason, count) in &member.refused {
                *sum.2.entry(reason.clone()).or_default() += count;
            }
        });
        text.push_str("situation    members  requests  refused, as it should be\n");
        for (situation, (members, requests, refused)) in by_situation {
            let refused: Vec<_> = refused
                .iter()
                .map(|(why, n)| format!("{why} {n}"))
                .collect();
            let situation = format!("{situation:?}").to_lowercase();
            let _ = writeln!(
                text,
                "{situation:<12} {members:>7}  {requests:>8}  {}",
                refused.join(", ")
            );
        }
        text
    }
}

impl Step {
    /// Reads what `keyferry status --output json` said. The stages must add up to the number of
    /// clients.
    pub(crate) fn read(name: &'static str, status: &Value) -> Self {
        let by_stage = status["clients"]["by_stage"].as_object();
        let stages: BTreeMap<_, _> = by_stage
            .expect("stages")
            .iter()
            .map(|(stage, count)| (stage.clone(), number(count)))
            .collect();
        let sum: usize = stages.values().sum();
        assert_eq!(sum, number(&status["clients"]["total"]), "{name}: {status}");
        Self { name, stages }
    }

    /// How many were at this stage.
    pub(crate) fn at(&self, stage: Stage) -> usize {
        self.stages.get(stage.as_str()).copied().unwrap_or_default()
    }
}

fn number(value: &Value) -> usize {
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number.unwrap_or_else(|| panic!("{value} is no count"))
}
