//! Which setting holds for a client.

use std::ops::Deref;
use std::sync::Arc;

use super::{Notice, PhaseRecord, Setting, Target};
use crate::client::Tags;
use crate::store::Epoch;

/// A setting as it holds, with where it comes from. It reads like the [`Setting`].
#[derive(Debug)]
pub struct InForce {
    /// Whom it was set for.
    pub target: Target,
    /// The version of its record; refusals of a brownout are counted under it.
    pub version: Epoch,
    /// What was set.
    pub setting: Setting,
    /// What clients are told by it.
    pub notice: Option<Notice>,
}

impl Deref for InForce {
    type Target = Setting;

    fn deref(&self) -> &Setting {
        &self.setting
    }
}

impl InForce {
    /// The present setting of `record`, which was read as `version`; none when it has none.
    #[must_use]
    pub fn of(version: Epoch, record: &PhaseRecord) -> Option<Self> {
        let setting = record.present()?.clone();
        Some(Self {
            target: record.target.clone(),
            version,
            notice: Notice::of(&setting),
            setting,
        })
    }
}

/// What was set for all clients and for cohorts of them.
#[derive(Clone, Debug, Default)]
pub struct Cohorts {
    /// For all.
    pub all: Option<Arc<InForce>>,
    /// For each cohort.
    pub some: Vec<Arc<InForce>>,
}

impl Cohorts {
    /// What holds for a client with these `tags`, for which `own` was set: its own; else, of the
    /// cohorts that it belongs to, the furthest along, and of these the latest set; else what was
    /// set for all.
    #[must_use]
    pub fn holds<'a>(
        &'a self,
        own: Option<&'a Arc<InForce>>,
        tags: &Tags,
    ) -> Option<&'a Arc<InForce>> {
        own.or_else(|| {
            let cohorts = self.some.iter().filter(|cohort| match &cohort.target {
                Target::Cohort(selector) => selector.matches(tags),
                Target::All | Target::Client(_) => false,
            });
            cohorts.max_by_key(|cohort| (cohort.phase(), cohort.since, cohort.version))
        })
        .or(self.all.as_ref())
    }

    /// Every setting of these.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<InForce>> {
        self.all.iter().chain(&self.some)
    }

    /// The same with `target`, which is no client, set to `setting`, or to nothing.
    #[must_use]
    pub fn with(mut self, target: &Target, setting: Option<Arc<InForce>>) -> Self {
        match target {
            Target::All => self.all = setting,
            Target::Cohort(_) => {
                self.some.retain(|cohort| cohort.target != *target);
                self.some.extend(setting);
            }
            Target::Client(_) => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::phase::{Phase, Step};
    use crate::store::Actor;

    fn set(target: &str, step: Step, version: u64) -> Arc<InForce> {
        let at = Timestamp::from_unix(i64::try_from(version).unwrap());
        let target: Target = target.parse().unwrap();
        let record = PhaseRecord::new(target).with(Setting::new(step, Actor::Gateway, at));
        Arc::new(InForce::of(Epoch(version), &record).unwrap())
    }

    fn tags(text: &str) -> Tags {
        let tags = text.split(',').filter(|tag| !tag.is_empty());
        tags.map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn its_own_setting_comes_first_then_the_cohort_that_is_furthest_along_then_all() {
        let mut cohorts = Cohorts::default();
        assert!(cohorts.holds(None, &tags("a")).is_none());
        for setting in [
            set("all", Step::Announce, 1),
            set("cohort:a", Step::Retired, 2),
            set("cohort:b", Step::Accept, 3),
            set("cohort:c", Step::Retired, 4),
        ] {
            let target = setting.target.clone();
            cohorts = cohorts.with(&target, Some(setting));
        }
        let holds = |own: Option<&Arc<InForce>>, list: &str| {
            let found = cohorts.holds(own, &tags(list)).unwrap();
            (found.target.to_string(), found.phase())
        };
        assert_eq!(holds(None, ""), ("all".into(), Phase::Announce));
        assert_eq!(holds(None, "b"), ("cohort:b".into(), Phase::Accept));
        assert_eq!(holds(None, "a,b"), ("cohort:a".into(), Phase::Retired));
        assert_eq!(holds(None, "a,c"), ("cohort:c".into(), Phase::Retired));
        // An exemption.
        let own = set("client:x", Step::Accept, 5);
        assert_eq!(holds(Some(&own), "a,c"), ("client:x".into(), Phase::Accept));

        let cohorts = cohorts.clone().with(&"cohort:c".parse().unwrap(), None);
        let found = cohorts.holds(None, &tags("a,c")).unwrap();
        assert_eq!(found.target.to_string(), "cohort:a");
    }
}
