//! Clients: who calls, and how far each has moved.

mod enrol;
mod id;
mod record;
mod stage;

pub use enrol::{Enrolment, at_first_sight};
pub use id::{ClientId, NotAClientId};
pub use record::{ClientRecord, ClientStatus};
pub use stage::{Seen, Sighting, Stage};
