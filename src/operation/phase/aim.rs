//! What the commands that set a phase have in common: for whom, and what clients are told.

use crate::client::ClientId;
use crate::config::Period;
use crate::operation::Failure;
use crate::operation::Operator;
use crate::phase::{Guide, Selector, Setting, Step, Target};
use crate::store::Reason;

use super::moment::Moment;

/// For whom.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Aim {
    /// For every client
    #[arg(long)]
    all: bool,
    /// For the clients with these tags: mobile, or mobile,!beta
    #[arg(long, value_name = "SELECTOR")]
    cohort: Option<Selector>,
    /// For this client
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
}

/// For whom, if somebody was named.
#[derive(Clone, Debug, clap::Args)]
#[group(required = false, multiple = false)]
pub(super) struct MaybeAim {
    /// What was set for every client
    #[arg(long)]
    all: bool,
    /// What was set for a cohort
    #[arg(long, value_name = "SELECTOR")]
    cohort: Option<Selector>,
    /// What was set for a client
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
}

fn target(cohort: Option<&Selector>, client: Option<&ClientId>) -> Target {
    match (cohort, client) {
        (Some(cohort), _) => Target::Cohort(cohort.clone()),
        (None, Some(client)) => Target::Client(client.clone()),
        (None, None) => Target::All,
    }
}

impl Aim {
    pub(super) fn target(&self) -> Target {
        target(self.cohort.as_ref(), self.client.as_ref())
    }
}

impl MaybeAim {
    pub(super) fn target(&self) -> Option<Target> {
        let named = self.all || self.cohort.is_some() || self.client.is_some();
        named.then(|| target(self.cohort.as_ref(), self.client.as_ref()))
    }
}

/// The arguments that name `target`.
pub(super) fn arguments(target: &Target) -> String {
    match target {
        Target::All => "--all".to_owned(),
        Target::Cohort(selector) => format!("--cohort {selector}"),
        Target::Client(id) => format!("--client {id}"),
    }
}

/// What clients are told. What was told before and is not said again stays.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Telling {
    /// When certificates end, for the header Sunset: a day (its beginning in UTC) or a moment
    #[arg(long, value_name = "DATE")]
    sunset: Option<Moment>,
    /// A page about the move, for the header Link
    #[arg(long, value_name = "URL")]
    guide: Option<Guide>,
}

/// What may be decided with every phase.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Grace {
    /// Accept these clients' certificates for so long after they have ended [default: not at all]
    #[arg(long, value_name = "PERIOD", value_parser = period, hide = true)]
    expired_for: Option<Period>,
}

/// Insisting.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Force {
    /// Do it whatever speaks against it; say why
    #[arg(long, requires = "reason")]
    force: bool,
}

impl Force {
    /// Goes on when nothing speaks against it, or the operator insists.
    pub(super) fn over(&self, objections: &[String]) -> Result<(), Failure> {
        if objections.is_empty() || self.force {
            return Ok(());
        }
        Err(Failure::Refused(format!(
            "{} (--force --reason \"…\" overrides)",
            objections.join("; ")
        )))
    }
}

/// The setting that the arguments of a command describe.
pub(super) fn setting(
    step: Step,
    grace: &Grace,
    telling: Option<&Telling>,
    reason: Option<&Reason>,
    operator: &Operator,
) -> Setting {
    let mut setting = Setting::new(step, operator.actor.clone(), operator.now);
    setting.reason = reason.cloned();
    setting.expired_for = grace.expired_for.map(Period::as_duration);
    if let Some(telling) = telling {
        setting.sunset = telling.sunset.map(|sunset| sunset.at(operator.now));
        setting.guide.clone_from(&telling.guide);
    }
    setting
}

/// A period, as the configuration has them.
pub(super) fn period(text: &str) -> Result<Period, String> {
    use serde::Deserialize as _;
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};
    let typed: StrDeserializer<'_, Error> = text.into_deserializer();
    Period::deserialize(typed).map_err(|error| error.to_string())
}
