//! What every operation that writes is asked, and what it tells.

use serde::Serialize;

use crate::store::{Acknowledged, Action, Epoch, Reason};

/// What every command that writes takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Edit {
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the record of changes
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<Reason>,
}

/// What came of a change; the beginning of what `--output json` prints of it.
#[derive(Clone, Copy, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Did {
    pub(crate) action: Action,
    /// Whether anything changed, or would change. All may be as it should be already.
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
    /// The number of the change, once it was made.
    pub(super) epoch: Option<Epoch>,
    /// Who has it already, of a change that takes something away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replicas: Option<Acknowledged>,
}

impl Did {
    /// The word for it: what was done, or what would be.
    pub(crate) fn word<'a>(self, done: &'a str, would: &'a str) -> &'a str {
        if self.dry_run { would } else { done }
    }
}
