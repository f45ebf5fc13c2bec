//! What was decided for a target.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Brownout, Guide, Phase};
use crate::clock::Timestamp;
use crate::store::{Actor, Reason};

/// A phase with everything that was decided with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// The phase.
    pub step: Step,
    /// When it was set.
    pub since: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When clients were first told that certificates end; none while they are accepted as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Timestamp>,
    /// From when on certificates will no longer be accepted, as clients are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<Timestamp>,
    /// Where clients read more about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guide: Option<Guide>,
    /// For how long after its end a client's certificate is still good for requests. None: not at
    /// all.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "whole_seconds"
    )]
    pub expired_for: Option<Duration>,
}

/// A phase with what only that phase has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Step {
    /// [`Phase::Accept`].
    Accept,
    /// [`Phase::Announce`].
    Announce,
    /// [`Phase::Brownout`].
    Brownout(Brownout),
    /// [`Phase::Retired`].
    Retired,
}

impl Setting {
    /// `step`, and nothing else.
    #[must_use]
    pub const fn new(step: Step, actor: Actor, since: Timestamp) -> Self {
        let announced = match step {
            Step::Accept => None,
            Step::Announce | Step::Brownout(_) | Step::Retired => Some(since),
        };
        Self {
            step,
            since,
            actor,
            reason: None,
            announced,
            sunset: None,
            guide: None,
            expired_for: None,
        }
    }

    /// The phase.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.step {
            Step::Accept => Phase::Accept,
            Step::Announce => Phase::Announce,
            Step::Brownout(_) => Phase::Brownout,
            Step::Retired => Phase::Retired,
        }
    }

    /// The brownout, in that phase.
    #[must_use]
    pub const fn brownout(&self) -> Option<&Brownout> {
        match &self.step {
            Step::Brownout(brownout) => Some(brownout),
            Step::Accept | Step::Announce | Step::Retired => None,
        }
    }

    /// The same setting, going on from what held `before`: what clients were told stays told,
    /// unless this setting says otherwise. Back at [`Phase::Accept`], nothing is told.
    #[must_use]
    pub fn going_on_from(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|_| self.phase() != Phase::Accept) {
            self.announced = before.announced.or(self.announced);
            self.sunset = self.sunset.or(before.sunset);
            self.guide = self.guide.or_else(|| before.guide.clone());
        }
        self
    }
}

/// An optional duration as whole seconds.
mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::ref_option,
        reason = "serde hands over a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(|d| d.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn what_was_told_stays_told_until_certificates_are_accepted_again() {
        let mut announce = Setting::new(Step::Announce, Actor::Gateway, at(1));
        announce.sunset = Some(at(100));
        announce.guide = "https://a.example/move".parse().ok();
        let retired = Setting::new(Step::Retired, Actor::Gateway, at(5));
        let retired = retired.going_on_from(Some(&announce));
        assert_eq!(
            (retired.announced, retired.sunset),
            (Some(at(1)), Some(at(100)))
        );
        assert_eq!(retired.guide, announce.guide);

        let accept = Setting::new(Step::Accept, Actor::Gateway, at(6));
        let accept = accept.going_on_from(Some(&retired));
        assert_eq!((accept.announced, accept.sunset), (None, None));
        let again = Setting::new(Step::Announce, Actor::Gateway, at(7));
        assert_eq!(again.going_on_from(Some(&accept)).announced, Some(at(7)));
    }
}
