//! A snapshot is read as it was written, or not at all.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;
use crate::certificate::{
    Alias, AliasRecord, AliasState, CertificateRecord, Fingerprint, Mapping, Source,
};
use crate::client::{ClientId, ClientRecord};
use crate::key::{self, KeyId, KeyRecord, KeyStatus};
use crate::secret::Secret;
use crate::store::Actor;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
/// As a store with events, so with the hash of one.
fn head() -> Head {
    let (epoch, hash) = (Epoch(77), store::EventHash::of(b"an event"));
    Head {
        at: store::Head { epoch, hash },
        current_at: NOW,
    }
}

fn snapshot(path: impl Into<PathBuf>, key: u8) -> Snapshot {
    Snapshot::new(path.into(), Secret::new(vec![key; 32]))
}

fn apply(view: &View, version: u64, record: impl Into<Record>) {
    view.apply(Versioned {
        version: Epoch(version),
        record: record.into(),
    });
}

fn client_id(number: usize) -> ClientId {
    format!("client-{number}").parse().unwrap()
}

fn certificate_id(number: usize) -> Fingerprint {
    Fingerprint::of(&number.to_be_bytes())
}

/// So many clients, each with a certificate and a key; every third key is revoked.
fn view(clients: usize) -> (View, Vec<KeyId>) {
    let view = View::default();
    let mut ids = Vec::new();
    for number in 0..clients {
        let (client, id) = (client_id(number), KeyId::generate());
        let record = KeyRecord::reserved(id, client.clone(), NOW);
        let key = if number.is_multiple_of(3) {
            key::revoke((Epoch(5), record), Actor::Gateway, NOW).writes[0]
                .record
                .clone()
        } else {
            record.into()
        };
        apply(&view, 5, ClientRecord::new(client.clone(), None, NOW));
        apply(&view, 6, key);
        let mapping = Mapping::Mapped { client, key: id };
        let fingerprint = certificate_id(number);
        let source = Source::Operator;
        apply(
            &view,
            7,
            CertificateRecord::new(fingerprint, mapping, source, NOW),
        );
        ids.push(id);
    }
    (view, ids)
}

fn written(snapshot: &Snapshot, view: &View) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes, head(), view).unwrap();
    bytes
}

/// What is read of a snapshot of `view`.
pub(in crate::directory) fn again(view: &View) -> View {
    let one = snapshot("a", 1);
    let read = one.read_from(written(&one, view).as_slice(), View::default(), NOW);
    read.unwrap().1
}

/// Enough for several pieces.
const MANY: usize = 500;

#[test]
fn what_was_written_is_read_and_only_its_owner_may() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = snapshot(folder.path().join("snapshot"), 1);
    assert!(snapshot.read(View::default(), NOW).unwrap().is_none());
    let (view, keys) = view(MANY);
    let alias = Alias::Sha1([1; 20]);
    apply(&view, 8, AliasRecord::new(alias, client_id(0), NOW));
    for _ in 0..2 {
        snapshot.write(head(), &view).unwrap();
    }
    let mode = fs::metadata(&snapshot.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    assert!(snapshot.inspect(NOW).unwrap().is_some());
    let (found, read) = snapshot.read(View::default(), NOW).unwrap().unwrap();
    assert_eq!((found, read.len()), (head(), view.len()));
    assert_eq!(read.alias(&alias), Some(AliasState::Open));
    for (number, id) in keys.iter().enumerate() {
        let client = client_id(number);
        assert_eq!(read.is_client_active(&client), Some(true));
        let known = read.key(id).unwrap();
        assert_eq!(known.client(), &client);
        let is_revoked = known.status() != KeyStatus::Active;
        assert_eq!(is_revoked, number.is_multiple_of(3));
        let fingerprint = certificate_id(number);
        assert_eq!(
            read.certificate(&fingerprint),
            view.certificate(&fingerprint)
        );
    }
}

#[test]
fn another_key_another_version_and_another_time_are_refused() {
    let (view, _) = view(2);
    let bytes = written(&snapshot("a", 1), &view);
    let read = |key, bytes: &[u8], now| {
        snapshot("a", key)
            .read_from(bytes, View::default(), now)
            .map(drop)
    };
    assert!(read(1, &bytes, NOW).is_ok());
    assert!(matches!(
        read(2, &bytes, NOW),
        Err(SnapshotError::Damaged(_))
    ));
    let mut newer = bytes.clone();
    newer[18] = b'2';
    for foreign in [newer.as_slice(), b"", b"{}", &bytes[..20]] {
        assert!(matches!(
            read(1, foreign, NOW),
            Err(SnapshotError::Foreign(_))
        ));
    }
    let before = Timestamp::from_unix(NOW.as_unix() - 61);
    assert!(matches!(
        read(1, &bytes, before),
        Err(SnapshotError::Future { .. })
    ));
    let after = NOW.plus(Duration::from_mins(5));
    assert_eq!(age(head(), after), Duration::from_mins(5));
    assert_eq!(age(head(), before), Duration::ZERO);
}

/// Where each piece begins, with its length before it.
fn pieces(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut pieces) = (MAGIC.len() + SALT, Vec::new());
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let end = at + 4 + usize::try_from(length).unwrap();
        pieces.push(at..end);
        at = end;
    }
    pieces
}

#[test]
fn a_piece_that_is_missing_moved_repeated_or_foreign_is_noticed() {
    let (view, _) = view(MANY);
    let one = snapshot("a", 1);
    let (bytes, other) = (written(&one, &view), written(&one, &view));
    let all = pieces(&bytes);
    assert!(all.len() >= 4, "{all:?}");
    let of = |order: &[usize]| {
        let mut made = bytes[..all[0].start].to_vec();
        for n in order {
            made.extend(&bytes[all[*n].clone()]);
        }
        one.read_from(made.as_slice(), View::default(), NOW).is_ok()
    };
    let whole: Vec<usize> = (0..all.len()).collect();
    assert!(of(&whole), "put together again as it was");
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    let repeated = [&whole[..2], &whole[1..]].concat();
    let left_out = [&whole[..1], &whole[2..]].concat();
    let cut_off = &whole[..all.len() - 1];
    let longer = [whole.clone(), vec![all.len() - 1]].concat();
    for order in [&swapped, &repeated, &left_out, cut_off, &longer, &[]] {
        assert!(!of(order), "{order:?}");
    }
    // A piece of another snapshot of the same store.
    let mut mixed = bytes.clone();
    let second = pieces(&other)[1].clone();
    if second.len() == all[1].len() {
        mixed[all[1].clone()].copy_from_slice(&other[second]);
        assert!(
            one.read_from(mixed.as_slice(), View::default(), NOW)
                .is_err()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_bit_that_was_changed_a_cut_and_an_addition_are_noticed(at in 0usize..10_000, bit in 0u8..8, added in 1usize..9) {
        let (view, _) = view(3);
        let one = snapshot("a", 1);
        let bytes = written(&one, &view);
        let at = at % bytes.len();
        let refused = |bytes: &[u8]| one.read_from(bytes, View::default(), NOW).is_err();
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        prop_assert!(refused(&changed), "bit {bit} of byte {at}");
        prop_assert!(refused(&bytes[..at]), "cut at {at}");
        prop_assert!(refused(&[bytes.as_slice(), &vec![0; added]].concat()));
        prop_assert!(!refused(&bytes));
    }
}
