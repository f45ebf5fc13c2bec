//! How much of what there is.

use serde::Serialize;

use super::Plan;
use super::row::{Standing, What};
use crate::import::Kind;

/// What was read, and what is to become of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines that were read.
    pub lines: u64,
    /// Clients of which something is taken over, or is there already.
    pub clients: u64,
    /// Those of them that are not there yet.
    pub new_clients: u64,
    /// Certificates that are new, by their SHA-256.
    pub certificates: u64,
    /// Certificates that are new, by their SHA-1: each is bound at first sight.
    pub by_sha1: u64,
    /// Certificates that are there already.
    pub known: u64,
    /// Clients whose keys of the other gateway are not taken over, and who need others.
    pub keys_to_issue: u64,
    /// Lines that say what another line said.
    pub duplicates: u64,
    /// Lines that let nobody in.
    pub denied: u64,
    /// Lines that must not be taken over.
    pub refused: u64,
    /// Lines that could mean several things.
    pub ambiguous: u64,
    /// Lines that are not understood.
    pub not_understood: u64,
}

impl Counts {
    /// Whether every line was understood, and may be taken over.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.refused == 0 && self.ambiguous == 0 && self.not_understood == 0
    }

    /// Whether there is something to write.
    #[must_use]
    pub const fn has_work(&self) -> bool {
        self.new_clients > 0 || self.certificates > 0 || self.by_sha1 > 0
    }
}

impl Plan {
    /// How much of what there is.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn count(&mut self) {
        let mut counts = Counts {
            lines: self.counts.lines,
            denied: self.counts.denied,
            ..Counts::default()
        };
        for one in &self.misread {
            bump(match one.why.kind() {
                Kind::Refused => &mut counts.refused,
                Kind::Ambiguous => &mut counts.ambiguous,
                Kind::NotUnderstood => &mut counts.not_understood,
            });
        }
        for row in &self.rows {
            match (row.standing, &row.what) {
                (Standing::New | Standing::Waiting, What::Alias(_)) => bump(&mut counts.by_sha1),
                (Standing::New | Standing::Waiting, _) => bump(&mut counts.certificates),
                (Standing::There, _) => bump(&mut counts.known),
                (Standing::Duplicate, _) => bump(&mut counts.duplicates),
                (Standing::Refused, _) => {}
            }
        }
        for piece in self.of_clients() {
            if piece.is_taken() {
                bump(&mut counts.clients);
                if piece.is_new() {
                    bump(&mut counts.new_clients);
                }
                if piece.wants_key() {
                    bump(&mut counts.keys_to_issue);
                }
            }
        }
        self.counts = counts;
    }
}

fn bump(count: &mut u64) {
    *count = count.saturating_add(1);
}
