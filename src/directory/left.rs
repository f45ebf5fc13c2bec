//! Who is left that comes by certificate.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::View;
use crate::phase::Phase;

/// Whose certificates are still accepted: of clients that are not retired, and of which
/// authorities these are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Clients that nobody knows yet would be accepted, of any authority.
    pub newcomers: bool,
    /// The authorities of the certificates that identify somebody who is not retired, by their
    /// names; one without a name is one that is not recorded, or of a certificate that is announced.
    pub authorities: BTreeSet<Option<Box<str>>>,
}

impl Left {
    /// Who is left in `view`. It goes through all certificates, so it is nothing for a request.
    #[must_use]
    pub fn of(view: &View) -> Self {
        if !view.phases.are_newcomers_retired() {
            return Self {
                newcomers: true,
                ..Self::default()
            };
        }
        let mut places = BTreeSet::new();
        view.expected(|client, authority| {
            let is_retired = || {
                let phase = view.phase_of(client);
                phase.is_some_and(|phase| phase.phase() == Phase::Retired)
            };
            if !places.contains(&authority)
                && view.is_client_active(client) != Some(false)
                && !is_retired()
            {
                places.insert(authority);
            }
        });
        let name = |place| view.authorities.name(place);
        Self {
            newcomers: false,
            authorities: places
                .into_iter()
                .map(|place| place.and_then(name))
                .collect(),
        }
    }
}

/// The names of authorities, each once; a certificate keeps only the place of its own.
#[derive(Default)]
pub(super) struct Authorities(Mutex<Vec<Box<str>>>);

/// The place of a name, counted from 1.
pub(super) type Place = NonZero<u16>;

impl Clone for Authorities {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.names().clone()))
    }
}

impl Authorities {
    /// The place of a name that is recorded; none when there are too many, which is as if it were
    /// not.
    pub(super) fn place(&self, name: Option<&str>) -> Option<Place> {
        let name = name?;
        let mut names = self.names();
        let known = names.iter().position(|known| **known == *name);
        let index = known.unwrap_or(names.len());
        let place = u16::try_from(index)
            .ok()?
            .checked_add(1)
            .and_then(NonZero::new)?;
        if known.is_none() {
            names.push(name.into());
        }
        Some(place)
    }

    pub(super) fn name(&self, place: Place) -> Option<Box<str>> {
        let index = usize::from(place.get()).saturating_sub(1);
        self.names().get(index).cloned()
    }

    fn names(&self) -> MutexGuard<'_, Vec<Box<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{
        Alias, AliasRecord, AliasState, CertificateRecord, Fingerprint, Mapping, Source,
    };
    use crate::client::{ClientRecord, ClientStatus, Tags};
    use crate::clock::Timestamp;
    use crate::key::{KeyId, KeyRecord};
    use crate::phase::{self, Setting, Step};
    use crate::store::{Actor, Epoch, Record, Versioned};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    #[derive(Default)]
    struct World {
        view: View,
        epoch: Epoch,
    }

    impl World {
        /// Takes in a record; whether that changes who is expected.
        fn put(&mut self, record: impl Into<Record>) -> bool {
            let record = record.into();
            let changes = self.view.changes_expected(&record);
            self.epoch = self.epoch.next();
            self.view.apply(Versioned {
                version: self.epoch,
                record,
            });
            changes
        }

        fn set(&mut self, target: &str, step: Step) -> bool {
            let setting = Setting::new(step, Actor::Gateway, NOW);
            let change = phase::set(None, target.parse().unwrap(), setting);
            self.put(change.writes[0].record.clone())
        }

        /// A certificate, each time under another key.
        fn certificate(&mut self, client: &str, ca: Option<&str>, removed: bool) -> bool {
            let mapping = if removed {
                Mapping::Removed { at: NOW }
            } else {
                mapped(client)
            };
            let name = format!("{client} {ca:?}");
            let fingerprint = Fingerprint::of(name.as_bytes());
            let record = CertificateRecord::new(fingerprint, mapping, Source::Operator, NOW);
            self.put(CertificateRecord {
                ca: ca.map(str::to_owned),
                ..record
            })
        }

        fn left(&self) -> (bool, Vec<Option<String>>) {
            let left = Left::of(&self.view);
            let names = left.authorities.into_iter();
            let names = names.map(|name| name.map(String::from)).collect();
            (left.newcomers, names)
        }
    }

    #[test]
    fn whoever_is_not_retired_and_has_a_certificate_is_left() {
        let mut world = World::default();
        for client in ["a", "b", "c", "off"] {
            world.put(client_record(client));
        }
        world.certificate("off", Some("off"), false);
        world.certificate("a", Some("one"), false);
        world.certificate("b", Some("two"), false);
        world.certificate("c", None, false);
        assert_eq!(world.left(), (true, vec![]));
        world.set("all", Step::Retired);
        assert_eq!(world.left(), (false, vec![]));
        let one = || Some("one".to_owned());
        world.set("client:a", Step::Accept);
        assert_eq!(world.left(), (false, vec![one()]));
        world.set("client:c", Step::Announce);
        assert_eq!(world.left(), (false, vec![None, one()]));
        // What identifies nobody leaves nobody.
        world.certificate("a", Some("one"), true);
        assert_eq!(world.left(), (false, vec![None]));
        // Nor does somebody who is disabled.
        let with_off = vec![None, Some("off".to_owned())];
        world.set("client:off", Step::Accept);
        assert_eq!(world.left(), (false, with_off.clone()));
        world.put(disabled("off"));
        assert_eq!(world.left(), (false, vec![None]));
        world.put(client_record("off"));
        assert_eq!(world.left(), (false, with_off));
    }

    #[test]
    fn whoever_is_not_retired_and_has_a_certificate_announced_is_left() {
        let mut world = World::default();
        let alias = AliasRecord::new(Alias::Sha1([1; 20]), "a".parse().unwrap(), NOW);
        world.put(client_record("a"));
        world.set("all", Step::Retired);
        assert!(world.put(alias.clone()));
        assert_eq!(world.left(), (false, vec![]), "retired");
        world.set("client:a", Step::Accept);
        assert_eq!(world.left(), (false, vec![None]));
        world.put(disabled("a"));
        assert_eq!(world.left(), (false, vec![]), "disabled");
        world.put(client_record("a"));
        assert_eq!(world.left(), (false, vec![None]));
        // Once it was seen, it counts as the certificate that it is, if that is still good.
        let to = Fingerprint::of(b"seen");
        assert!(world.put(alias.clone().bound(to)));
        assert_eq!(world.left(), (false, vec![]), "used");
        assert!(world.put(alias.clone()));
        let state = AliasState::Withdrawn { at: NOW };
        assert!(world.put(AliasRecord { state, ..alias }));
        assert_eq!(world.left(), (false, vec![]), "taken back");
    }

    #[test]
    fn what_leaves_everybody_as_he_was_changes_nothing() {
        let mut world = World::default();
        let alias = AliasRecord::new(Alias::Sha1([1; 20]), "a".parse().unwrap(), NOW);
        let key = || KeyRecord::reserved(KeyId::generate(), "a".parse().unwrap(), NOW);
        assert!(world.put(client_record("a")));
        assert!(world.certificate("a", Some("one"), false));
        assert!(world.put(alias.clone()));
        // A rotation writes the client as it is, keys, and its certificates under another key.
        assert!(!world.put(client_record("a")) && !world.put(key()));
        assert!(!world.certificate("a", Some("one"), false));
        assert!(!world.put(alias));

        let tags = Tags::from(["servers".parse().unwrap()]);
        let tagged = ClientRecord {
            tags,
            ..client_record("a")
        };
        assert!(world.put(tagged.clone()) && !world.put(tagged));
        assert!(world.put(disabled("a")));
        assert!(world.certificate("a", Some("one"), true));
        assert!(world.set("all", Step::Retired));
        // Who issued it becomes known.
        assert!(world.certificate("b", None, false));
        let fingerprint = Fingerprint::of(b"b None");
        let learned = CertificateRecord {
            ca: Some("two".to_owned()),
            ..CertificateRecord::new(fingerprint, mapped("b"), Source::Operator, NOW)
        };
        assert!(world.put(learned));
    }

    fn client_record(id: &str) -> ClientRecord {
        ClientRecord::new(id.parse().unwrap(), None, NOW)
    }

    fn disabled(id: &str) -> ClientRecord {
        ClientRecord {
            status: ClientStatus::Disabled { at: NOW },
            ..client_record(id)
        }
    }

    fn mapped(client: &str) -> Mapping {
        Mapping::Mapped {
            client: client.parse().unwrap(),
            key: KeyId::generate(),
        }
    }
}
