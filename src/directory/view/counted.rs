//! What metrics count of all clients and keys.

use std::collections::BTreeMap;

use super::View;
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::directory::ends::{Ends, Last};
use crate::directory::rows::ClientRow;
use crate::key::PepperVersion;

impl View {
    /// Calls `each` with every client: its id, whether it is active, whether any key of it was
    /// issued and can still be used, and when what it has ends.
    pub fn clients(&self, now: Timestamp, mut each: impl FnMut(&ClientId, bool, bool, Ends)) {
        self.clients.each(|row| {
            if row.is_known() {
                let (active, issued, ends) = self.counted(row, now);
                each(&row.id(), active, issued, ends);
            }
        });
    }

    /// The same of one client; nothing when there is no such client.
    #[must_use]
    pub fn client(&self, id: &ClientId, now: Timestamp) -> Option<(bool, bool, Ends)> {
        self.of_client(id, |row| row.is_known().then(|| self.counted(row, now)))?
    }

    fn counted(&self, row: &ClientRow, now: Timestamp) -> (bool, bool, Ends) {
        let (certificates, keys) = self.ends(row, now);
        let has_key = keys != Last::None;
        let (certificates, keys) = (certificates.into(), keys.into());
        (row.is_active, has_key, Ends { certificates, keys })
    }

    /// How many keys that can still be used need which pepper.
    #[must_use]
    pub fn keys_by_pepper(&self, now: Timestamp) -> BTreeMap<PepperVersion, u64> {
        let mut needed = BTreeMap::new();
        self.keys.each(|key| {
            if let Some(pepper) = key.needs(now) {
                let keys: &mut u64 = needed.entry(pepper).or_default();
                *keys = keys.saturating_add(1);
            }
        });
        needed
    }

    /// When the certificates of a client end, and its keys that can be used. It is asked of every
    /// client again and again.
    fn ends(&self, row: &ClientRow, now: Timestamp) -> (Last, Last) {
        let (mut certificates, mut keys) = (Last::default(), Last::default());
        for place in row.has.get() {
            self.certificates.each_at(*place, |certificate| {
                if certificate.mapped() == Some(row.number) {
                    certificates.add(certificate.not_after());
                }
            });
            self.keys.each_at(*place, |key| {
                if key.client() == row.number && key.is_usable(now) {
                    keys.add(key.expires_at());
                }
            });
        }
        (certificates, keys)
    }
}
