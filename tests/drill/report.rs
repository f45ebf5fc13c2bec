//! What the drill tells at its end: the stages at every step, and what the clients met.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keyferry::client::Stage;
use serde_json::Value;

use super::fleet::Fleet;

/// How wide the chart is, in characters.
const WIDTH: usize = 40;

/// How each stage is drawn: the further on, the darker.
const MARKS: [(Stage, char); 5] = [
    (Stage::Registered, ' '),
    (Stage::CertOnly, '░'),
    (Stage::KeyIssued, '▒'),
    (Stage::Dual, '▓'),
    (Stage::KeyOnly, '█'),
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
    /// Takes in what `keyferry status --output json` said after a step, and prints a line of the
    /// chart.
    pub(crate) fn step(&mut self, name: &'static str, status: &Value) -> &Step {
        if self.steps.is_empty() {
            println!("\n{}", heading());
        }
        self.steps.push(Step::read(name, status));
        let step = self.steps.last().expect("the step");
        println!("{}", step.line());
        step
    }

    /// What became of whom.
    pub(crate) fn text(fleet: &Fleet) -> String {
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
        let mut text = String::from("\nsituation    members  requests  refused, as it should be\n");
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

    /// A line of the chart.
    fn line(&self) -> String {
        let total: usize = self.stages.values().sum::<usize>().max(1);
        let mut line = format!("{:<36}", self.name);
        let (mut bar, mut drawn, mut counted) = (String::new(), 0, 0);
        for (stage, mark) in MARKS {
            let (count, width) = (self.at(stage), stage.as_str().len() + 2);
            let _ = write!(line, "{count:>width$}");
            counted += count;
            let until = counted * WIDTH / total;
            bar.extend(std::iter::repeat_n(mark, until - drawn));
            drawn = until;
        }
        format!("{line}  |{bar:<WIDTH$}|")
    }

    /// How many were at this stage.
    pub(crate) fn at(&self, stage: Stage) -> usize {
        self.stages.get(stage.as_str()).copied().unwrap_or_default()
    }
}

/// The heading of the chart.
fn heading() -> String {
    let mut heading = format!("{:<36}", "after each step");
    for (stage, _) in MARKS {
        let _ = write!(heading, "  {}", stage.as_str());
    }
    let marks = MARKS.map(|(_, mark)| mark).iter().collect::<String>();
    format!("{heading}  |{marks}| from left to right")
}

fn number(value: &Value) -> usize {
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number.unwrap_or_else(|| panic!("{value} is no count"))
}
