//! Where the sessions are that clients resume.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{Builder, Built};
use crate::config::problem::KeyPath;
use crate::door::{Resumption, Sessions};

/// From some hundred usual sessions to most of a million.
const BYTES: RangeInclusive<u32> = 1_048_576..=1_073_741_824;

impl Builder<'_> {
    /// How sessions are resumed; `key` is the file that the keys of tickets are derived from.
    pub(super) fn resumption(
        &mut self,
        at: &KeyPath,
        (sessions, bytes): (Sessions, u32),
        key: Option<&Path>,
    ) -> Built<Resumption> {
        let at_key = at.key("ticket_key_file");
        let secret = key.map(|path| self.secret(&at_key, path)).transpose();
        // Also where it is not used, so that it does not come out on the day it is.
        let mut built = Ok(Resumption::Memory(bytes));
        if !BYTES.contains(&bytes) {
            let write = format!("use {} to {}", BYTES.start(), BYTES.end());
            let wrong = format!("{bytes} cannot be used");
            built = Err(self.problem(&at.key("session_bytes"), wrong, write));
        }
        if sessions == Sessions::Tickets {
            return built.and_then(|_| Ok(Resumption::Tickets(secret?)));
        }
        if !sessions.are_possible() {
            let wrong = "BoringSSL, which this program was built with, keeps no sessions";
            let write = r#"write sessions = "tickets", or take a program with OpenSSL"#;
            built = Err(self.problem(&at.key("sessions"), wrong, write));
        }
        if key.is_some() {
            let wrong = r#"with sessions = "memory" there are no tickets"#;
            let write = r#"take it away, or write sessions = "tickets""#;
            built = Err(self.problem(&at_key, wrong, write));
        }
        built
    }
}
