//! Phases: what the operator has decided about certificates, for all clients, for a cohort of them,
//! or for one; and how every such decision is taken back.
//!
//! A [`Setting`] is such a decision. A [`PhaseRecord`] keeps the settings of one [`Target`], the
//! former ones below the present one, so that [`undo`] gives back exactly what was there.
//! [`InForce`] is a setting as it holds for a client.

mod brownout;
mod change;
mod cohorts;
mod guard;
mod guide;
mod notice;
mod record;
mod selector;
mod setting;
mod target;
mod windows;

use serde::{Deserialize, Serialize};

pub use brownout::{Brownout, NotAShare, Plan, Schedule, Share};
pub use change::{NothingToUndo, set, stop, undo};
pub use cohorts::{InForce, holding};
pub use guard::{Objection, Proposal};
pub use guide::{Guide, NotAGuide};
pub use notice::Notice;
pub use record::{FORMER_KEPT, PhaseRecord};
pub use selector::{NotASelector, Selector};
pub use setting::{Setting, Step};
pub use target::{NotATarget, Target};
pub use windows::{NotAWindow, NotAZone, Window, Windows, Zone};

/// How far along the way from certificates to keys clients are taken.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Certificates are accepted as ever.
    Accept,
    /// They are accepted, and every answer says that this ends.
    Announce,
    /// They are refused at times.
    Brownout,
    /// They are refused.
    Retired,
}

impl Phase {
    /// Every phase, in the order of the way.
    pub const ALL: [Self; 4] = [Self::Accept, Self::Announce, Self::Brownout, Self::Retired];

    /// The word for screens, documents and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Announce => "announce",
            Self::Brownout => "brownout",
            Self::Retired => "retired",
        }
    }
}
