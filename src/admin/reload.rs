//! `POST /reload`: reads the configuration again now, and tells what became of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How many wait for an answer at a time.
const MOST: usize = 8;
/// How long an answer may take: a store may have to be looked through.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The answer. The program that reads it may be of another version than the one that writes it.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// The settings that were changed and taken over, now or in the few seconds before.
    pub changed: Vec<String>,
    /// The settings that have changed and need a restart.
    pub needs_restart: Vec<String>,
    /// Everything that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
    /// Why it was not taken over, when it is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a configuration that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ReloadOutcome")]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The gateway runs with it, but for what needs a restart.
    TakenOver,
    /// It is wrong.
    Wrong,
    /// It is right, and would refuse who is served now.
    Refused,
    /// It could not be judged now.
    Unavailable,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ConfigurationProblem")]
pub struct Problem {
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The variable of the environment, if it is not in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The setting.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub write: String,
}

impl fmt::Display for Problem {
    /// As [`config::Problem`](crate::config::Problem) shows itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, &self.variable) {
            (Some(file), Some(line), _) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None, _) => write!(f, "{}: ", file.display())?,
            (None, _, variable) => write!(f, "{}: ", variable.as_deref().unwrap_or("?"))?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.problem, self.write)
    }
}

/// By which somebody asks for it.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<Asked>);

/// Whom to tell.
pub type Asked = oneshot::Sender<Report>;

/// By which somebody asks for it, and by which whoever does it learns of that.
#[must_use]
pub fn channel() -> (Reloads, mpsc::Receiver<Asked>) {
    let (sender, receiver) = mpsc::channel(MOST);
    (Reloads(sender), receiver)
}

impl Reloads {
    /// Asks for it, and waits until it is done; why not otherwise.
    pub(super) async fn ask(&self) -> Result<Report, &'static str> {
        let (asked, answer) = oneshot::channel();
        let is_told = self.0.try_send(asked);
        is_told.map_err(|_| "the gateway reads its configuration already; ask again")?;
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.map_err(|_| "it takes longer; the log of the gateway tells the end")?;
        answer.map_err(|_| "the gateway is about to stop")
    }
}

/// Whether a request that changes something may be from a web page, which could send it to this
/// machine though it may not read the answer. No page can say that it sends JSON without asking first
/// (Fetch standard, "CORS-safelisted request-header"), which nobody here answers.
pub(super) fn may_be_a_page(headers: &HeaderMap) -> bool {
    let sent = headers.get(CONTENT_TYPE);
    let is_json = sent.is_some_and(|sent| sent.as_bytes() == b"application/json");
    !is_json || headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}
