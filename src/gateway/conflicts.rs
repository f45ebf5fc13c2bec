//! Requests with a certificate and a key of two clients, for whoever tells others of it. Noting one waits
//! for nobody; where too many wait, it is left out.

use tokio::sync::mpsc;

use crate::client::ClientId;
use crate::clock::Timestamp;

/// How many wait at most.
const WAITING: usize = 256;

/// A certificate and a key of two clients came in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Whose certificate it was.
    pub certificate: ClientId,
    /// Whose key it was.
    pub key: ClientId,
    /// When.
    pub at: Timestamp,
}

/// Where conflicts are noted.
#[derive(Clone, Debug)]
pub struct Conflicts(mpsc::Sender<Conflict>);

impl Conflicts {
    /// A place for them, and its other end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Conflict>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Notes one.
    pub(super) fn note(&self, conflict: Conflict) {
        // It is in the log and in the sightings all the same.
        let _ = self.0.try_send(conflict);
    }
}
