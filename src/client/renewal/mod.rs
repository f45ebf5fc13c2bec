//! The ladder by which a new certificate of a known client is recognised, so that it does not make
//! a second client of it.
//!
//! What is verified and unknown comes here before it can enrol. The first rung that finds
//! something decides; nothing below it is asked.

mod policy;
#[cfg(test)]
mod tests;

pub use policy::{Follow, Renewal, Rung};

use super::Holdings;
use super::enrol::seen;
use crate::certificate::{
    Alias, AliasRecord, AliasState, CertificateRecord, Facts, Mapping, Verified,
};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Action, Actor, Change, Epoch, Write};

/// What may be related to a certificate, as the store has it now. More than is does no harm.
#[derive(Debug, Default)]
pub struct Related {
    /// Certificates, with those that the removed and superseded ones among them renewed.
    pub certificates: Vec<(Epoch, CertificateRecord)>,
    /// There are too many with its key to compare all of them.
    pub too_many_keys: bool,
    /// There are too many with its names.
    pub too_many_names: bool,
    /// Its other names.
    pub aliases: Vec<(Epoch, AliasRecord)>,
    /// Every client of these certificates and names.
    pub clients: Vec<Holdings>,
}

/// What comes of the ladder.
#[derive(Debug)]
pub enum Recognised {
    /// It is nobody's that is known.
    Nobody,
    /// It is given to a client, or waits to be.
    As(Rung, Box<Change>),
    /// It is refused, and does not enrol either.
    Refused(Rung, Why),
}

/// Why a certificate that was recognised is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The configuration says so.
    #[error("the configuration denies it (ca.renewal)")]
    Denied,
    /// What it takes over from ended.
    #[error(
        "what it would take over from was removed or superseded, or its client is disabled; to \
         accept it all the same: keyferry certificate add --client ID FINGERPRINT"
    )]
    Ended,
    /// Another certificate was known by the same SHA-1 before. Nobody can make two such
    /// certificates by accident.
    #[error(
        "ALARM: another certificate was known by the same SHA-1; somebody may have forged one of \
         them"
    )]
    TwoOfOneSha1,
}

/// Whether `certificate`, which is verified by the authority `ca` and unknown, is the new one of a
/// client in `related`, and what is done about it by `policy`.
///
/// A change names the version of every record that it rests on: of many replicas that see the
/// certificate at once one makes it, and none when the predecessor ends or the client's key
/// changes meanwhile.
#[must_use]
pub fn recognise(
    certificate: &Verified,
    ca: &str,
    policy: Renewal,
    related: &Related,
    now: Timestamp,
) -> Recognised {
    let sight = Sight {
        certificate,
        ca,
        related,
        now,
    };
    let rungs = [
        sight.by_sha1(),
        sight.by_successor(policy.successor),
        sight.by_likeness(Rung::SameKey, policy.same_key),
        sight.by_likeness(Rung::SameName, policy.same_name),
    ];
    rungs
        .into_iter()
        .flatten()
        .next()
        .unwrap_or(Recognised::Nobody)
}

/// How sure it is that two certificates are one client's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    None,
    /// Not sure enough to be acted on without a human's word.
    Unsure,
    Sure,
}

struct Sight<'a> {
    certificate: &'a Verified,
    ca: &'a str,
    related: &'a Related,
    now: Timestamp,
}

type Versioned<'a> = &'a (Epoch, CertificateRecord);
type Named<'a> = &'a (Epoch, AliasRecord);

impl Sight<'_> {
    /// Whichever of its two forms the operator named.
    fn by_sha1(&self) -> Option<Recognised> {
        let named = self.certificate.sha1s().iter();
        let named: Vec<_> = named.filter_map(|sha1| self.alias(sha1)).collect();
        let refused = |why| Some(Recognised::Refused(Rung::Sha1, why));
        let is_bound = |alias: &AliasRecord| matches!(alias.state, AliasState::Bound { .. });
        if named.iter().any(|(_, alias)| is_bound(alias)) {
            return refused(Why::TwoOfOneSha1);
        }
        let clients = named.iter().map(|(_, alias)| self.active(&alias.client));
        let Some(clients) = clients.collect::<Option<Vec<_>>>() else {
            return refused(Why::Ended);
        };
        let (client, others) = clients.split_first()?;
        Some(if others.iter().all(|other| other.id() == client.id()) {
            self.given(Rung::Sha1, client, None, &named)
        } else {
            self.waits(Rung::Sha1, None, None, &named)
        })
    }

    fn by_successor(&self, follow: Follow) -> Option<Recognised> {
        let spki = Alias::spki(&self.certificate.facts().spki)?;
        let found = self.alias(&spki)?;
        let alias = &found.1;
        if alias.state != AliasState::Open || follow == Follow::Ignore {
            return None;
        }
        let (rung, announced) = (Rung::Successor, &[found]);
        let refused = |why| Some(Recognised::Refused(rung, why));
        if follow == Follow::Deny {
            return refused(Why::Denied);
        }
        let Some(client) = self.active(&alias.client) else {
            return refused(Why::Ended);
        };
        // A key that is another client's already is not this one's by announcement.
        let of_others = self.alike(Rung::SameKey).any(|((_, record), _)| {
            matches!(&record.mapping, Mapping::Mapped { client, .. } if *client != alias.client)
        });
        let predecessor = ends_first(client.certificates.iter());
        Some(if of_others {
            self.waits(rung, None, None, announced)
        } else if follow == Follow::Auto {
            self.given(rung, client, predecessor, announced)
        } else {
            self.waits(rung, Some(client.id()), predecessor, announced)
        })
    }

    /// The rungs that compare it with the certificates of clients.
    fn by_likeness(&self, rung: Rung, follow: Follow) -> Option<Recognised> {
        let alike: Vec<_> = self.alike(rung).collect();
        let many = match rung {
            Rung::SameKey => self.related.too_many_keys,
            Rung::SameName => self.related.too_many_names,
            Rung::Sha1 | Rung::Successor => false,
        };
        if follow == Follow::Ignore || (alike.is_empty() && !many) {
            return None;
        }
        if follow == Follow::Deny {
            return Some(Recognised::Refused(rung, Why::Denied));
        }
        let live = alike.iter().filter_map(|(found, likeness)| {
            let Mapping::Mapped { client, .. } = &found.1.mapping else {
                return None;
            };
            Some((self.active(client)?, *found, *likeness))
        });
        let live: Vec<_> = live.collect();
        let Some((client, ..)) = live.first() else {
            return Some(if many {
                self.waits(rung, None, None, &[])
            } else {
                Recognised::Refused(rung, Why::Ended)
            });
        };
        let mut mappings = alike.iter().map(|(found, _)| &found.1.mapping);
        // Also one that is disabled: it must not come back as its namesake.
        let is_anothers = |mapping: &Mapping| mapping.client().is_some_and(|of| of != client.id());
        if many || mappings.clone().any(is_anothers) {
            return Some(self.waits(rung, None, None, &[]));
        }
        // Whose a certificate was that was removed is not recorded, so its names may be another's. For
        // a key it makes no difference: who has it could as well show the certificate that is good.
        let was_shut_out = rung == Rung::SameName
            && mappings.any(|mapping| matches!(mapping, Mapping::Removed { .. }));
        let mut likenesses = live.iter().map(|(.., likeness)| *likeness);
        let is_sure = !was_shut_out && likenesses.all(|likeness| likeness == Likeness::Sure);
        let predecessor = ends_first(live.iter().map(|(_, found, _)| *found));
        Some(if is_sure && follow == Follow::Auto {
            self.given(rung, client, predecessor, &[])
        } else {
            self.waits(rung, Some(client.id()), predecessor, &[])
        })
    }

    /// What was named, and not taken back.
    fn alias(&self, alias: &Alias) -> Option<Named<'_>> {
        let is_withdrawn = |state| matches!(state, AliasState::Withdrawn { .. });
        let mut aliases = self.related.aliases.iter();
        aliases.find(|(_, known)| known.alias == *alias && !is_withdrawn(known.state))
    }

    /// The client, unless it is disabled.
    fn active(&self, id: &ClientId) -> Option<&Holdings> {
        let mut clients = self.related.clients.iter();
        clients.find(|client| client.id() == id && client.expect_active().is_ok())
    }

    fn alike(&self, rung: Rung) -> impl Iterator<Item = (Versioned<'_>, Likeness)> {
        let certificates = self.related.certificates.iter();
        certificates.filter_map(move |found| match self.likeness(rung, &found.1) {
            Likeness::None => None,
            likeness => Some((found, likeness)),
        })
    }

    fn likeness(&self, rung: Rung, other: &CertificateRecord) -> Likeness {
        let (own, Some(facts)) = (self.certificate.facts(), &other.facts) else {
            return Likeness::None;
        };
        let is_same = match rung {
            Rung::SameKey => own.spki == facts.spki,
            Rung::SameName => names(own) == names(facts),
            Rung::Sha1 | Rung::Successor => false,
        };
        match (is_same, other.ca.as_deref() == Some(self.ca), &other.ca) {
            (false, ..) => Likeness::None,
            (true, true, _) => Likeness::Sure,
            // The name of an issuer means nothing under another authority (C9).
            (true, false, Some(_)) if rung == Rung::SameName => Likeness::None,
            (true, false, _) => Likeness::Unsure,
        }
    }

    /// Gives it to the client: under the key id of the certificate that it takes over from, so
    /// that it can do what that one could and nothing more; where there is none, under that of the
    /// client's other certificates, or the last that the client had.
    fn given(
        &self,
        rung: Rung,
        client: &Holdings,
        predecessor: Option<Versioned<'_>>,
        aliases: &[Named<'_>],
    ) -> Recognised {
        let known = match predecessor.map(|(_, record)| &record.mapping) {
            Some(Mapping::Mapped { key, .. }) => Some(*key),
            _ => client.key_of_certificates(self.now),
        };
        let key = known.unwrap_or_else(KeyId::generate);
        let mapping = Mapping::Mapped {
            client: client.id().clone(),
            key,
        };
        let mut record = self.record(mapping);
        record.renews = predecessor.map(|(_, old)| old.fingerprint);
        let mut writes = vec![client.hold(), Write::create(record)];
        if known.is_none() {
            let reserved = KeyRecord::reserved(key, client.id().clone(), self.now);
            writes.push(Write::create(reserved));
        }
        if let Some((version, old)) = predecessor {
            let renewed_by = Some(*self.certificate.fingerprint());
            let old = CertificateRecord {
                renewed_by,
                ..old.clone()
            };
            writes.push(Write::replace(*version, old));
        }
        self.change(rung, Action::CertificateRenewed, writes, aliases)
    }

    /// Lets it wait for the operator's word, with the client that it seems to belong to.
    fn waits(
        &self,
        rung: Rung,
        client: Option<&ClientId>,
        predecessor: Option<Versioned<'_>>,
        aliases: &[Named<'_>],
    ) -> Recognised {
        let mut record = self.record(Mapping::Pending);
        record.proposed = client.cloned();
        record.renews = predecessor.map(|(_, old)| old.fingerprint);
        let writes = vec![Write::create(record)];
        self.change(rung, Action::CertificatePending, writes, aliases)
    }

    fn record(&self, mapping: Mapping) -> CertificateRecord {
        seen(self.certificate, self.ca, mapping, self.now)
    }

    fn change(
        &self,
        rung: Rung,
        action: Action,
        mut writes: Vec<Write>,
        aliases: &[Named<'_>],
    ) -> Recognised {
        let fingerprint = *self.certificate.fingerprint();
        let bound = aliases
            .iter()
            .map(|(version, alias)| Write::replace(*version, alias.clone().bound(fingerprint)));
        writes.extend(bound);
        writes.extend(super::enrol::twin(self.certificate, self.now));
        let change = Change::new(action, Actor::Gateway, self.now, writes);
        Recognised::As(rung, Box::new(change.because(rung.as_str().parse().ok())))
    }
}

/// All names of a certificate, its issuer's first. One without any is not verified.
const fn names(facts: &Facts) -> (&String, &String, &Vec<String>) {
    (&facts.issuer, &facts.subject, &facts.alternative_names)
}

/// Of several that could be meant, the one that was not renewed yet and ends first: so a client that has more than one of
/// the same name renews them in turn.
fn ends_first<'a>(certificates: impl Iterator<Item = Versioned<'a>>) -> Option<Versioned<'a>> {
    let not_after = |record: &CertificateRecord| record.facts.as_ref().map(|facts| facts.not_after);
    certificates.min_by_key(|(_, record)| {
        let renewed = record.renewed_by.is_some();
        (renewed, not_after(record), record.fingerprint)
    })
}
