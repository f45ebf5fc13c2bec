//! The last report of a gateway's doctor: shown to whoever only looks, and told again to whoever asks the same
//! within seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Probe, Report};
use crate::clock;

/// For how long a report answers the same question again.
const FRESH: Duration = Duration::from_secs(5);

/// The last report, if there is one.
#[derive(Default)]
pub(crate) struct Last(Mutex<Option<Told>>);

struct Told {
    to: Probe,
    at: Instant,
    report: Arc<Report>,
}

impl Last {
    /// The last report, of whatever age.
    pub(crate) fn report(&self) -> Option<Arc<Report>> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.as_ref().map(|told| Arc::clone(&told.report))
    }

    /// What was told to the same question a moment ago; else what `look` finds, which is the last report then.
    pub(crate) async fn or(
        &self,
        probe: &Probe,
        look: impl AsyncFnOnce() -> Report,
    ) -> Arc<Report> {
        if let Some(report) = self.fresh(probe) {
            return report;
        }
        let report = Arc::new(look().await);
        let told = Told {
            to: probe.clone(),
            at: clock::monotonic(),
            report: Arc::clone(&report),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        report
    }

    fn fresh(&self, probe: &Probe) -> Option<Arc<Report>> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.as_ref()?;
        let is_fresh = told.to == *probe && told.at.elapsed() < FRESH;
        is_fresh.then(|| Arc::clone(&told.report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_question_is_answered_again_and_another_is_looked_into() {
        let last = Last::default();
        assert!(last.report().is_none());
        let nothing = async || Report::of(Vec::new());
        let first = last.or(&Probe::Route, nothing).await;
        let again = last.or(&Probe::Route, async || panic!("asked again")).await;
        assert!(Arc::ptr_eq(&first, &again));
        let other = last.or(&Probe::Nothing, nothing).await;
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Arc::ptr_eq(&other, &last.report().unwrap()));
    }
}
