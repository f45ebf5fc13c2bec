//! `keyferry phase brownout`.

use crate::clock::Timestamp;
use crate::config::Period;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::phase::{Brownout, Plan, Proposal, Schedule, Share, Step, Window, Windows, Zone};

use super::aim::{Aim, Force, Grace, Telling, period, setting};
use super::moment::Moment;
use super::set::{Proposed, set};

/// Refuse certificates at times, so that whoever still needs them notices
///
/// Keys are never refused, and neither is fetching one with the certificate.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    aim: Aim,
    /// Refuse everybody at these times: "Tue 10:00-11:00", or "Mon-Fri 09:00-09:05"
    #[arg(long, value_name = "WINDOW", required_unless_present = "percent", num_args = 1..)]
    windows: Vec<Window>,
    /// The time zone of the windows [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "windows")]
    zone: Option<Zone>,
    /// Refuse so many of a hundred clients in every hour, each for the whole hour
    #[arg(long, value_name = "1-100", conflicts_with = "windows", value_parser = share)]
    percent: Option<Share>,
    /// When it begins: a day (in UTC), a moment, or now [default: after the notice]
    #[arg(long, value_name = "DATE")]
    from: Option<Moment>,
    /// When it ends, if ever
    #[arg(long, value_name = "DATE")]
    until: Option<Moment>,
    /// Go back to announcing by itself after so many refusals at all gateways together, of which
    /// each client counts once a minute at each gateway
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    budget: Option<u64>,
    /// How much time clients have between now and the first refusal
    #[arg(long, value_name = "PERIOD", value_parser = period, default_value_t = Period::from(Proposal::NOTICE))]
    notice: Period,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    grace: Grace,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    edit: Edit,
}

fn share(text: &str) -> Result<Share, String> {
    let number = text.parse::<u8>().map_err(|error| error.to_string())?;
    Share::try_from(number).map_err(|error| error.to_string())
}

pub(super) async fn run(args: Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let plan = plan(&args, operator)?;
    let step = Step::Brownout(Brownout {
        plan: plan.clone(),
        budget: args.budget,
    });
    let telling = Some(&args.telling);
    let reason = args.edit.reason.as_ref();
    let setting = setting(step, &args.grace, telling, reason, operator);
    let guard = |proposed: &Proposed<'_>| {
        let proposal = Proposal {
            plan: &plan,
            begin_was_said: args.from.is_some(),
            notice: args.notice.as_duration(),
            announced: proposed.before.and_then(|before| before.announced),
        };
        args.force.over(&told(&proposal, operator.now))
    };
    set(
        &args.aim.target(),
        &setting,
        &args.edit,
        operator,
        out,
        guard,
    )
    .await
}

/// What speaks against a brownout, as operators read it.
pub(super) fn told(proposal: &Proposal<'_>, now: Timestamp) -> Vec<String> {
    let objections = proposal.objections(now);
    objections.iter().map(ToString::to_string).collect()
}

fn plan(args: &Args, operator: &Operator) -> Result<Plan, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let now = operator.now;
    let schedule = if let Some(share) = args.percent {
        Schedule::Share(share)
    } else {
        let zone = args.zone.clone().unwrap_or(Zone::UTC);
        let windows = Windows::new(zone, args.windows.clone());
        Schedule::Windows(windows.map_err(|error| usage(&error))?)
    };
    let after_notice = now.plus(args.notice.as_duration());
    let plan = Plan {
        begins: args.from.map_or(after_notice, |from| from.at(now)),
        ends: args.until.map(|until| until.at(now)),
        schedule,
    };
    if plan.next(now).is_none() {
        return Err(usage(
            &"it would refuse nobody: it ends before any of its windows begins; see --from and \
              --until",
        ));
    }
    Ok(plan)
}
