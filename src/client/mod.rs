//! Clients: who calls, and how far each has moved.

mod change;
mod enrol;
mod holdings;
mod id;
mod record;
mod stage;
mod tag;

pub use change::{add, disable, enable};
pub use enrol::{Enrolment, at_first_sight};
pub use holdings::{Disabled, Holdings};
pub use id::{ClientId, NotAClientId};
pub use record::{ClientRecord, ClientStatus};
pub use stage::{Seen, Sighting, Stage};
pub use tag::{MOST_TAGS, NotATag, Tag, Tags};
