//! `GET /observations`: what a gateway that only observes has seen. Moments are seconds since the
//! Unix epoch.

use super::query::Query;
use crate::observe::{Observations, Snapshot};

/// What was observed; why the question makes no sense otherwise.
pub(super) fn snapshot(
    observations: Option<&Observations>,
    query: &Query,
) -> Result<Snapshot, String> {
    query.none()?;
    observations.map(Observations::snapshot).ok_or_else(|| {
        "this gateway enforces, so there is nothing that it only observed; see [observe] in the \
         configuration"
            .to_owned()
    })
}
