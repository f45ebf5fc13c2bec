//! Clients: who calls, and how far each has moved.

mod activity;
mod change;
mod contact;
mod counts;
mod enrol;
mod flags;
mod holdings;
mod id;
mod record;
mod renewal;
mod stage;
mod tags;

pub use activity::{
    CredentialId, LastRefusal, LastUse, NotACode, NotACredentialId, RefusalCode, Sighting, Use,
    used_apart,
};
pub use change::{TooManyTags, add, disable, enable, tag};
pub use contact::{Contact, NotAContact};
pub use counts::{Counted, Counts, History};
pub use enrol::{Enrolment, at_first_sight, learned};
pub use flags::{Evidence, Flag};
pub use holdings::{Disabled, Holdings, TooManyKeys};
pub use id::{ClientId, NotAClientId};
pub use record::{ClientRecord, ClientStatus};
pub use renewal::{Follow, Recognised, Related, Renewal, Rung, Why, recognise};
pub use stage::{Seen, Stage};
pub use tags::{MOST_TAGS, NotATag, Tag, Tags};
