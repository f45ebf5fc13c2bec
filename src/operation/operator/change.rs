//! How an operation changes the store.

use serde::Serialize;

use super::Operator;
use crate::operation::Failure;
use crate::store::{
    Acknowledged, Action, Change, CommitError, Committed, Epoch, Reason, StoreError,
};

/// How often a change is decided again that another change got ahead of.
const TRIES: usize = 5;

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
    epoch: Option<Epoch>,
    /// Who has it already, of a change that takes something away.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Acknowledged>,
}

impl Operator {
    /// Makes the change that `decide` decides on, unless the run is dry or there is nothing to
    /// change. When somebody else was quicker, `decide` is asked again.
    pub(crate) async fn change<T>(
        &self,
        action: Action,
        edit: &Edit,
        mut decide: impl AsyncFnMut() -> Result<(Option<Change>, T), Failure>,
    ) -> Result<(Did, T), Failure> {
        for _ in 0..TRIES {
            let (change, outcome) = decide().await?;
            let mut did = Did {
                action,
                changed: change.is_some(),
                dry_run: edit.dry_run,
                epoch: None,
                replicas: None,
            };
            let Some(change) = change.filter(|_| !edit.dry_run) else {
                return Ok((did, outcome));
            };
            let change = change
                .because(edit.reason.clone())
                .caused_from(self.origin.clone())
                .following(self.known);
            match self.store.commit(&change).await {
                Ok(Committed { epoch, replicas }) => {
                    (did.epoch, did.replicas) = (Some(epoch), replicas);
                    self.acknowledged.borrow_mut().extend(replicas);
                    let changed = change.writes.iter().map(|write| write.record.id());
                    self.changed.borrow_mut().extend(changed);
                    return Ok((did, outcome));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(lost @ StoreError::Lost { .. })) => {
                    return Err(self.cannot_tell(&lost));
                }
                Err(CommitError::Store(error)) => {
                    return Err(Failure::Unavailable(anyhow::anyhow!(
                        "{error} (store: {}); whether the change was made is not known: look with \
                         keyferry client list or show, then do it again if need be",
                        self.settings.store
                    )));
                }
            }
        }
        Err(Failure::Unavailable(anyhow::anyhow!(
            "others change the same records all the time; try again in a moment"
        )))
    }
}

impl Did {
    /// The word for it: what was done, or what would be.
    pub(crate) fn word<'a>(self, done: &'a str, would: &'a str) -> &'a str {
        if self.dry_run { would } else { done }
    }
}
