//! Rotations, decided.

use super::*;
use crate::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use crate::client::{ClientId, ClientRecord};
use crate::key::{KeyStatus, Pepper, RevokedBy};
use crate::secret::Secret;
use crate::store::Record;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const TOKEN: &str = "0123456789abcdef";

struct World {
    format: Format,
    peppers: Peppers,
    holdings: Holdings,
    key: ApiKey,
}

/// How one rotation differs from the plain one.
#[derive(Clone, Copy)]
struct Wish<'a> {
    key: KeyId,
    overlap: Overlap,
    successor_used: bool,
    token: Option<&'a str>,
    shown: &'a ApiKey,
    now: Timestamp,
}

impl World {
    /// A client with one certificate and one key in use, with a scope, good for a year.
    fn new() -> Self {
        let format = Format::new("kf", "live").unwrap();
        let peppers = Peppers::new(Pepper::new(1, &Secret::new(vec![9; 32])), []);
        let id: ClientId = "acme".parse().unwrap();
        let key = ApiKey::generate(KeyId::generate(), &format).unwrap();
        let record = KeyRecord {
            digest: Some(key.digest(&peppers)),
            issued_at: Some(NOW),
            expires_at: Some(later(365 * 24)),
            scopes: vec!["orders:read".parse().unwrap()],
            ..KeyRecord::reserved(key.id(), id.clone(), NOW)
        };
        let certificate = CertificateRecord::new(
            Fingerprint::of(b"a certificate"),
            Mapping::Mapped {
                client: id.clone(),
                key: key.id(),
            },
            Source::FirstSight,
            NOW,
        );
        Self {
            format,
            peppers,
            holdings: Holdings {
                client: (Epoch(1), ClientRecord::new(id, None, NOW)),
                certificates: vec![(Epoch(2), certificate)],
                keys: vec![(Epoch(3), record)],
            },
            key,
        }
    }

    fn wish(&self) -> Wish<'_> {
        Wish {
            key: self.key.id(),
            overlap: Overlap::Day,
            successor_used: false,
            token: None,
            shown: &self.key,
            now: NOW,
        }
    }

    fn rotate(&self, wish: Wish<'_>) -> Result<Rotated, NotRotated> {
        let token = wish
            .token
            .map(|token| token.parse::<IdempotencyToken>().unwrap());
        let rotation = Rotation {
            of: &self.holdings,
            key: wish.key,
            overlap: wish.overlap,
            expires_at: None,
            successor_used: wish.successor_used,
            most: 3,
            retry: token.as_ref().map(|token| Retry {
                token,
                shown: wish.shown,
                until: NOW.plus(Duration::from_mins(10)),
            }),
        };
        rotation.decide((&self.format, &self.peppers), Actor::Gateway, wish.now)
    }

    /// Carries a rotation out that must succeed.
    fn rotated(&mut self, wish: impl Fn(Wish<'_>) -> Wish<'_>) -> ApiKey {
        let Rotated::Issued(key, change) = self.rotate(wish(self.wish())).unwrap() else {
            panic!("not issued");
        };
        for Write { record, .. } in change.writes {
            if let Record::Key(record) = record {
                self.holdings.keys.retain(|(_, key)| key.id != record.id);
                self.holdings.keys.push((Epoch(9), record));
            } else if let Record::Certificate(record) = record {
                self.holdings.certificates = vec![(Epoch(9), record)];
            }
        }
        key
    }

    fn record(&mut self, id: KeyId) -> &mut KeyRecord {
        let mut keys = self.holdings.keys.iter_mut();
        keys.find(|(_, key)| key.id == id)
            .map(|(_, key)| key)
            .unwrap()
    }

    /// The ids of the keys that were issued and can be used at `now`.
    fn usable(&self, now: Timestamp) -> Vec<KeyId> {
        let keys = self.holdings.keys.iter();
        let usable = keys.filter(|(_, key)| key.is_good(now));
        let mut usable: Vec<_> = usable.map(|(_, key)| key.id).collect();
        usable.sort();
        usable
    }
}

fn later(hours: u64) -> Timestamp {
    NOW.plus(Duration::from_hours(hours))
}

#[test]
fn a_new_key_takes_scopes_end_and_certificates_over_and_the_old_one_ends_by_itself() {
    for (overlap, hours) in [("0", 0), ("1h", 1), ("24h", 24), ("7d", 168), ("30d", 720)] {
        let mut world = World::new();
        let overlap: Overlap = overlap.parse().unwrap();
        let key = world.rotated(|wish| Wish { overlap, ..wish });
        let (old, peppers) = (world.key.id(), world.peppers.clone());
        assert_ne!(key.id(), old);
        let new = world.record(key.id()).clone();
        assert!(key.matches(new.digest.as_ref(), &peppers));
        assert_eq!(new.scopes, world.record(old).scopes);
        assert_eq!(new.expires_at, Some(later(365 * 24)), "not lengthened");
        assert_eq!(world.record(old).expires_at, Some(later(hours)));
        assert_eq!(world.record(old).rotated_to, Some(key.id()));
        let certificate = &world.holdings.certificates[0].1;
        assert!(matches!(certificate.mapping, Mapping::Mapped { key: to, .. } if to == key.id()));
    }
    assert_eq!("2h".parse::<Overlap>(), Err(NotAnOverlap));
}

#[test]
fn k9_the_old_key_never_ends_later_than_it_would_have() {
    let mut world = World::new();
    let (old, end) = (world.key.id(), later(2));
    world.record(old).expires_at = Some(end);
    world.rotated(|wish| wish);
    assert_eq!(world.record(old).expires_at, Some(end));
    // Nor does a second rotation put off what the first one decided.
    let mut world = World::new();
    world.rotated(|wish| Wish {
        overlap: Overlap::Hour,
        ..wish
    });
    world.rotated(|wish| Wish {
        overlap: Overlap::Month,
        ..wish
    });
    assert_eq!(world.record(world.key.id()).expires_at, Some(later(1)));
}

#[test]
fn a_key_that_was_never_used_is_replaced_and_so_there_is_one_at_a_time() {
    let mut world = World::new();
    let lost: Vec<_> = (0..3).map(|_| world.rotated(|wish| wish).id()).collect();
    let mut expected = vec![world.key.id(), lost[2]];
    expected.sort();
    assert_eq!(world.usable(NOW), expected);
    assert_eq!(world.record(lost[0]).rotated_to, Some(lost[1]));
    let end = world.record(lost[2]).expires_at;
    assert_eq!(end, Some(later(365 * 24)), "the end of the first");
}

#[test]
fn there_are_only_so_many_keys_that_can_be_used_at_the_same_time() {
    let mut world = World::new();
    let first = world.key.id();
    let key = world.rotated(|wish| wish).id();
    let third = world.rotated(|wish| Wish { key, ..wish }).id();
    assert_eq!(world.usable(NOW).len(), 3);
    let rotate = |world: &World, overlap| {
        let wish = Wish {
            key: third,
            overlap,
            ..world.wish()
        };
        world.rotate(wish)
    };
    let refused = rotate(&world, Overlap::Hour);
    assert!(matches!(
        refused,
        Err(NotRotated::TooMany(TooManyKeys {
            has: 3,
            most: 3,
            ..
        }))
    ));
    // Whatever ends a key frees its place: the old one at once, or an unused successor.
    assert!(rotate(&world, Overlap::Nothing).is_ok());
    world.rotated(|wish| Wish { key, ..wish });
    assert_eq!(world.usable(NOW).len(), 3);
    world.record(first).expires_at = Some(NOW);
    let newest = world.record(key).rotated_to.unwrap();
    world.rotated(|wish| Wish {
        key: newest,
        ..wish
    });
}

#[test]
fn c6_an_old_key_is_not_rotated_again_once_its_successor_is_in_use_or_was_ended() {
    let mut world = World::new();
    let next = world.rotated(|wish| wish);
    let again = |world: &World, successor_used| {
        let wish = Wish {
            successor_used,
            ..world.wish()
        };
        world.rotate(wish)
    };
    assert!(again(&world, false).is_ok(), "the control");
    assert!(matches!(again(&world, true), Err(NotRotated::Before(_, to)) if to == next.id()));
    world.record(next.id()).status = KeyStatus::Revoked {
        at: NOW,
        by: RevokedBy::Operator,
    };
    assert!(matches!(again(&world, false), Err(NotRotated::Before(..))));
}

#[test]
fn c4_the_same_token_and_key_see_the_same_new_key_until_the_window_ends() {
    let mut world = World::new();
    let next = world.rotated(|wish| Wish {
        token: Some(TOKEN),
        ..wish
    });
    let other = ApiKey::generate(world.key.id(), &world.format).unwrap();
    let again = |token, shown, now, successor_used| {
        let wish = Wish {
            successor_used,
            token,
            shown,
            now,
            ..world.wish()
        };
        match world.rotate(wish) {
            Ok(Rotated::Repeated(key)) => key.reveal() == next.reveal(),
            _ => false,
        }
    };
    assert!(again(Some(TOKEN), &world.key, NOW, false));
    assert!(again(Some(TOKEN), &world.key, NOW, true));
    assert!(!again(None, &world.key, NOW, false));
    assert!(!again(Some("another-token-0123"), &world.key, NOW, false));
    assert!(!again(Some(TOKEN), &other, NOW, false), "the proof counts");
    assert!(!again(Some(TOKEN), &world.key, later(1), false));
}

#[test]
fn what_is_revoked_expired_or_nobodys_is_not_rotated() {
    let mut world = World::new();
    let id = world.key.id();
    for end in [NOW, Timestamp::from_unix(0)] {
        world.record(id).expires_at = Some(end);
        let refused = world.rotate(world.wish());
        assert!(matches!(
            refused,
            Err(NotRotated::Ended(_, KeyFault::Expired))
        ));
    }
    world.holdings.keys.clear();
    let refused = world.rotate(world.wish());
    assert!(matches!(
        refused,
        Err(NotRotated::Ended(_, KeyFault::Unknown))
    ));
}
