//! All findings together, for programs and for people.

use schemars::JsonSchema;
use serde::Serialize;

use super::finding::{Check, Finding, Outcome};
use crate::clock::{self, Timestamp};
use crate::operation::paint::heading;
use crate::operation::table::{how_many, printable};
use crate::operation::view::in_rfc_3339;

/// What `--output json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// When it was looked.
    #[serde(serialize_with = "in_rfc_3339")]
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
    pub(crate) findings: Vec<Finding>,
    pub(crate) counts: Counts,
}

/// How many findings there are of each outcome.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FindingCounts")]
pub(crate) struct Counts {
    pub(crate) ok: usize,
    pub(crate) note: usize,
    pub(crate) warning: usize,
    pub(crate) error: usize,
}

impl Report {
    /// What was found now.
    pub(super) fn of(findings: Vec<Finding>) -> Self {
        let number = |outcome| {
            let with = findings.iter().filter(|finding| finding.outcome == outcome);
            with.count()
        };
        Self {
            at: clock::now(),
            counts: Counts {
                ok: number(Outcome::Ok),
                note: number(Outcome::Note),
                warning: number(Outcome::Warning),
                error: number(Outcome::Error),
            },
            findings,
        }
    }

    /// The same of a gateway whose file has such `news` by now: they stand in the place of the word that it reads.
    pub(super) fn but_for(self, news: Vec<Finding>) -> Self {
        if news.is_empty() {
            return self;
        }
        let others = self.findings.into_iter();
        let others = others.filter(|finding| finding.check != Check::ConfigurationReads);
        let findings = news.into_iter().chain(others).collect();
        Self {
            at: self.at,
            ..Self::of(findings)
        }
    }

    /// Whether somebody has to do something.
    pub(crate) const fn is_bad(&self, strict: bool) -> bool {
        self.counts.error > 0 || (strict && self.counts.warning > 0)
    }

    /// A heading for each group, a line for each finding, and below it what to do.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut last_group = "";
        for (index, finding) in self.findings.iter().enumerate() {
            let (group, page) = finding.check.group();
            if group != last_group {
                if !last_group.is_empty() {
                    lines.push(String::new());
                }
                lines.push(heading(group));
                last_group = group;
            }
            lines.push(finding.line());
            // What is the same for several is told behind the last of them.
            let next = index.saturating_add(1);
            let is_repeated = self
                .findings
                .get(next)
                .is_some_and(|next| next.advice == finding.advice && next.check.group().0 == group);
            if let Some(advice) = finding.advice.as_ref().filter(|_| !is_repeated) {
                lines.push(printable(&format!("          → {advice} [{page}]")));
            }
        }
        let counts = [
            (self.counts.error, "error"),
            (self.counts.warning, "warning"),
            (self.counts.note, "note"),
        ];
        let counts = counts.map(|(number, what)| how_many(number, what));
        lines.push(format!("\n{}, {} ok", counts.join(", "), self.counts.ok));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advice_for_several_is_told_once_and_nothing_steers_the_terminal() {
        let hidden = |check: Check| check.note("\u{1b}[2J", "ask as another user");
        let report = Report::of(vec![
            Check::ConfigurationReads.ok("keyferry.toml"),
            hidden(Check::RedisMemory),
            hidden(Check::RedisClock),
        ]);
        assert_eq!(
            anstream::adapter::strip_str(&report.text()).to_string(),
            "configuration\n  ok      configuration: keyferry.toml\n\nstore\n  \
             note    memory: \u{fffd}[2J\n  note    clock: \u{fffd}[2J\n          \
             → ask as another user [docs/STORE.md]\n\n0 errors, 0 warnings, 2 notes, 1 ok"
        );
        assert!(!report.is_bad(true));
    }

    #[test]
    fn a_file_that_is_wrong_by_now_is_not_told_to_be_right() {
        let right = Check::ConfigurationReads.ok("keyferry.toml");
        let report = Report::of(vec![right, Check::RedisMemory.ok("10 %")]);
        let wrong = Check::ConfigurationReads.error("is no address", "write one");
        let report = report.but_for(vec![wrong]);
        assert_eq!((report.counts.error, report.counts.ok), (1, 1));
        assert_eq!(report.findings.len(), 2, "{report:?}");
    }

    #[test]
    fn errors_are_bad_and_warnings_when_strict() {
        let warned = Report::of(vec![Check::RedisMemory.warning("80 %", "raise it")]);
        assert!(!warned.is_bad(false) && warned.is_bad(true));
        let failed = Report::of(vec![Check::RedisMemory.error("95 %", "raise it")]);
        assert!(failed.is_bad(false));
    }
}
