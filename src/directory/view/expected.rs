//! Who could come by certificate.

use super::View;
use crate::certificate::Mapping;
use crate::client::ClientId;
use crate::directory::left::Place;
use crate::store::Record;

impl View {
    /// Calls `each` with the client of every certificate that identifies one, and its authority;
    /// and of every one that is announced, which may be of any.
    pub(in crate::directory) fn expected(&self, mut each: impl FnMut(&ClientId, Option<Place>)) {
        self.certificates.each(|row| {
            if let Some(client) = row.mapped().and_then(|client| self.name(client)) {
                each(&client, row.authority());
            }
        });
        self.aliases.each(|row| {
            if let Some(client) = row.awaited() {
                each(client, None);
            }
        });
    }

    /// Whether `record`, which is to be applied, changes who is [expected](Self::expected), or under
    /// which phase. What is written again as it was does not, nor does another key.
    pub(in crate::directory) fn changes_expected(&self, record: &Record) -> bool {
        match record {
            Record::Client(client) => {
                let is_same = self.of_client(&client.id, |row| {
                    row.is_known() && row.is_active == client.is_active()
                });
                is_same != Some(true) || !self.with_tags(&client.id, |tags| *tags == client.tags)
            }
            Record::Certificate(certificate) => {
                let authority = self.authorities.place(certificate.ca.as_deref());
                let of = |mapping: &Mapping, authority| Some((mapped(mapping)?.clone(), authority));
                let was = self.of_certificate(&certificate.fingerprint, |known| {
                    of(&known.mapping, known.authority)
                });
                was.flatten() != of(&certificate.mapping, authority)
            }
            Record::Alias(alias) => {
                let was = self.of_alias(&alias.alias, |row| row.awaited().cloned());
                was.flatten().as_ref() != alias.awaited()
            }
            Record::Key(_) => false,
            Record::Phase(_) => true,
        }
    }
}

/// Whom a certificate identifies now.
const fn mapped(mapping: &Mapping) -> Option<&ClientId> {
    match mapping {
        Mapping::Mapped { client, .. } => Some(client),
        Mapping::Superseded { .. }
        | Mapping::Pending
        | Mapping::Removed { .. }
        | Mapping::Twin { .. } => None,
    }
}
