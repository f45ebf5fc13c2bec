//! Gateways that share a store: what each tells of itself, so that whoever asks one hears of all.
//!
//! That is no record: it makes no event and no epoch, decides nothing, and is forgotten soon. Whoever can
//! write to the store can alter it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Epoch, Unreadable};
use crate::clock::Timestamp;

/// For how long a gateway is remembered that tells no more.
pub const REPLICAS_KEPT: Duration = Duration::from_hours(1);

/// What a gateway tells of itself. One of a later version may tell more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Which one it is: a name that no other process has.
    pub id: String,
    /// The machine that it runs on.
    pub host: String,
    /// The version of the program.
    pub version: String,
    /// Since when it runs.
    pub since: Timestamp,
    /// What it does.
    pub state: ReplicaState,
    /// The last change that it knows of.
    pub epoch: Epoch,
    /// How many seconds ago it last heard of the store.
    pub store_age: u64,
    /// A digest of its settings and of every file that they name.
    pub configuration: String,
    /// Whether it runs with its configuration as it was last read.
    pub is_taken_over: bool,
}

/// What a gateway does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It has not loaded everything yet.
    Starting,
    /// It serves.
    Ready,
    /// It has not heard of its store for too long.
    Stale,
    /// It ends when the requests that are under way have.
    Draining,
    /// It has ended: these were its last words.
    Stopped,
    /// Something that a later version does.
    #[serde(other)]
    Other,
}

/// A gateway, and how many seconds ago it told that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// What it told.
    pub replica: Replica,
    /// How long ago, in seconds.
    pub ago: u64,
}

impl Replica {
    /// What was stored of the gateway `id`.
    ///
    /// # Errors
    ///
    /// When it is not what a gateway stores of itself.
    pub(super) fn read(id: &str, stored: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |why: String| Unreadable {
            what: format!("the gateway {id:?}"),
            why,
        };
        let read: Self =
            serde_json::from_slice(stored).map_err(|error| unreadable(error.to_string()))?;
        if read.id == id {
            Ok(read)
        } else {
            Err(unreadable(format!("it says that it is {:?}", read.id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_of_a_later_version_is_understood_as_far_as_can_be() {
        let told = r#"{"id":"a","host":"gw-1","version":"9.0.0","since":5,"state":"dreaming","epoch":7,
            "store_age":0,"configuration":"00","is_taken_over":true,"mood":"good"}"#;
        let read = Replica::read("a", told.as_bytes()).unwrap();
        assert_eq!((read.epoch, read.state), (Epoch(7), ReplicaState::Other));
        assert!(Replica::read("b", told.as_bytes()).is_err());
        assert!(Replica::read("a", b"garbage").is_err());
    }
}
