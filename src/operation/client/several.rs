//! Commands that name one client or several, which change together or not at all.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::client::ClientId;
use crate::operation::Did;
use crate::operation::{Failure, Out};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Clients {
    /// The client, or up to a thousand: all of them change, or none
    #[arg(value_name = "ID", required = true, num_args = 1..=1000)]
    ids: Vec<ClientId>,
}

/// What came of all, and of each. Of one, `--output json` prints no list.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report<T> {
    #[serde(flatten)]
    did: Did,
    #[serde(flatten)]
    of: Of<T>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Of<T> {
    One(T),
    Several { clients: Vec<T> },
}

impl Clients {
    /// Each of them, once.
    pub(super) fn each(&self) -> BTreeSet<&ClientId> {
        self.ids.iter().collect()
    }

    /// The client, when it is one alone.
    pub(super) fn one(&self) -> Option<&ClientId> {
        match self.ids.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// Prints what came of each client: for people, `line` says it.
pub(super) fn show<T: Serialize>(
    did: Did,
    clients: Vec<T>,
    line: impl Fn(&T) -> String,
    out: &mut Out,
) -> Result<(), Failure> {
    let lines: Vec<_> = clients.iter().map(line).collect();
    let of = match <[T; 1]>::try_from(clients) {
        Ok([one]) => Of::One(one),
        Err(clients) => Of::Several { clients },
    };
    out.show(&Report { did, of }, lines.join("\n"))
}
