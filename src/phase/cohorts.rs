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

/// What holds for a client with these `tags`, for which `own` was set: its own; else, of what is
/// `shared` with others, that of the cohort which is the furthest along, and of these the latest set;
/// else what was set for all. Where one change set several, as a restore does, their names decide, so
/// that every gateway finds the same.
#[must_use]
pub fn holding<'a>(
    own: Option<&'a Arc<InForce>>,
    shared: impl IntoIterator<Item = &'a Arc<InForce>>,
    tags: &Tags,
) -> Option<&'a Arc<InForce>> {
    own.or_else(|| {
        let concerning = shared.into_iter().filter(|held| match &held.target {
            Target::All => true,
            Target::Cohort(selector) => selector.matches(tags),
            Target::Client(_) => false,
        });
        concerning.max_by_key(|held| {
            let InForce {
                target, version, ..
            } = &***held;
            let is_cohort = *target != Target::All;
            (is_cohort, held.phase(), held.since, *version, target)
        })
    })
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

    #[test]
    fn of_what_one_change_set_the_same_holds_in_whatever_order_it_comes() {
        let [one, other] = ["cohort:x", "cohort:y"].map(|target| set(target, Step::Announce, 7));
        let tags = tags("x,y");
        let held = |shared: [&Arc<InForce>; 2]| {
            holding(None, shared, &tags).map(|held| held.target.clone())
        };
        assert_eq!(held([&one, &other]), held([&other, &one]));
    }

    fn tags(text: &str) -> Tags {
        let tags = text.split(',').filter(|tag| !tag.is_empty());
        tags.map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn its_own_setting_comes_first_then_the_cohort_that_is_furthest_along_then_all() {
        assert!(holding(None, &[], &tags("a")).is_none());
        let mut shared = vec![
            set("all", Step::Announce, 1),
            set("cohort:a", Step::Retired, 2),
            set("cohort:b", Step::Accept, 3),
            set("cohort:c", Step::Retired, 4),
        ];
        let holds = |shared: &[_], own: Option<&Arc<InForce>>, list: &str| {
            let found = holding(own, shared, &tags(list)).unwrap();
            (found.target.to_string(), found.phase())
        };
        assert_eq!(holds(&shared, None, ""), ("all".into(), Phase::Announce));
        assert_eq!(
            holds(&shared, None, "b"),
            ("cohort:b".into(), Phase::Accept)
        );
        assert_eq!(
            holds(&shared, None, "a,b"),
            ("cohort:a".into(), Phase::Retired)
        );
        assert_eq!(
            holds(&shared, None, "a,c"),
            ("cohort:c".into(), Phase::Retired)
        );
        // An exemption.
        let own = set("client:x", Step::Accept, 5);
        let exempt = holds(&shared, Some(&own), "a,c");
        assert_eq!(exempt, ("client:x".into(), Phase::Accept));

        shared.pop();
        assert_eq!(holds(&shared, None, "a,c").0, "cohort:a");
    }
}
