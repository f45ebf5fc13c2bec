//! The file of a backup, and what becomes of records that both have.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::merge::{Outcome, merge};
use super::*;
use crate::certificate::{
    Alias, AliasRecord, AliasState, CertificateRecord, Fingerprint, Mapping, Source,
};
use crate::client::{ClientRecord, ClientStatus, Counts};
use crate::clock::Day;
use crate::key::{KeyId, KeyStatus, Pepper, RevokedBy};
use crate::secret::Secret;
use crate::store::RecordKey;

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

fn record_keys(byte: u8) -> RecordKeys {
    RecordKeys::new(RecordKey::new(1, &Secret::new(vec![byte; 32])), [])
}

fn peppers(byte: u8) -> Peppers {
    Peppers::new(Pepper::new(1, &Secret::new(vec![byte; 32])), [])
}

fn client(id: &str) -> ClientRecord {
    ClientRecord::new(id.parse().unwrap(), None, NOW)
}

fn lines() -> Vec<Line> {
    let records = ["a", "b", "c"].map(|id| Line::Record {
        version: Epoch(7),
        record: Box::new(client(id).into()),
    });
    let counts = Counts {
        by_certificate: 1,
        by_key: u64::MAX,
        refused: 3,
    };
    let days = Line::Days {
        client: "a".parse().unwrap(),
        days: [(Day::from_number(20_780), counts)].into(),
    };
    records.into_iter().chain([days]).collect()
}

fn written(record_keys: &RecordKeys, peppers: &Peppers, lines: &[Line]) -> Vec<u8> {
    let secrets = Secrets {
        record_keys,
        peppers,
    };
    let head = Head::default();
    let mut writer = Writer::begin(Vec::new(), "here".to_owned(), head, NOW, &secrets).unwrap();
    for line in lines {
        writer.line(line).unwrap();
    }
    writer.end().unwrap()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn read(bytes: &[u8], record_keys: &RecordKeys, peppers: &Peppers) -> Result<Backup, BackupError> {
    let secrets = Secrets {
        record_keys,
        peppers,
    };
    Backup::of(file(bytes), Path::new("the file"), &secrets)
}

#[test]
fn what_is_written_reads_back_as_often_as_it_is_asked_for() {
    for keys in [record_keys(1), RecordKeys::none()] {
        let bytes = written(&keys, &peppers(2), &lines());
        let backup = read(&bytes, &keys, &peppers(2)).unwrap();
        for _ in 0..2 {
            let lines_back: Result<Vec<_>, _> = backup.lines().unwrap().collect();
            let json = |lines: &[Line]| serde_json::to_string(lines).unwrap();
            assert_eq!(json(&lines_back.unwrap()), json(&lines()));
        }
        let contents = backup.contents();
        assert_eq!((contents.records["client"], contents.days), (3, 1));
        // Programs read it as it is.
        for line in std::str::from_utf8(&bytes).unwrap().lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                json["is"].is_string() || json["keyferry_backup"] == 1,
                "{line}"
            );
        }
    }
}

#[test]
fn no_change_of_a_byte_goes_unnoticed_in_a_backup() {
    let (keys, peppers) = (record_keys(1), peppers(2));
    let whole = written(&keys, &peppers, &lines());
    assert!(read(&whole, &keys, &peppers).is_ok());
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        assert!(read(&altered, &keys, &peppers).is_err(), "byte {at}");
        assert!(read(&whole[..at], &keys, &peppers).is_err(), "cut at {at}");
    }
}

#[test]
fn what_was_put_together_is_refused_and_told_from_what_is_cut_off() {
    let (keys, peppers) = (record_keys(1), peppers(2));
    let text = |lines: &[Line]| String::from_utf8(written(&keys, &peppers, lines)).unwrap();
    let (whole, other) = (text(&lines()), text(&lines()[1..]));
    let parts: Vec<&str> = whole.split_inclusive('\n').collect();
    let last = parts.len() - 1;
    let without = |gone: usize| {
        let kept = parts.iter().enumerate().filter(|(at, _)| *at != gone);
        kept.map(|(_, line)| *line).collect::<String>()
    };
    let swapped = {
        let mut parts = parts.clone();
        parts.swap(1, 2);
        parts.concat()
    };
    let twice = format!("{}{}{}", parts[..2].concat(), parts[1], parts[2..].concat());
    let (_, others_end) = other.trim_end().rsplit_once('\n').unwrap();
    let foreign_end = format!("{}{others_end}\n", parts[..last].concat());
    let longer = format!("{whole}{}", parts[1]);
    for (what, altered, told) in [
        ("a line is missing", without(2), "not authentic"),
        ("the header is missing", without(0), "no backup"),
        ("the end is missing", without(last), "cut off"),
        ("lines are swapped", swapped, "not authentic"),
        ("a line is there twice", twice, "not authentic"),
        ("the end is of another file", foreign_end, "not authentic"),
        ("a line follows on the end", longer, "cut off"),
        ("nothing", String::new(), "no backup"),
        ("another file", "{\"a\":1}\n".repeat(3), "no backup"),
        (
            "a newer form",
            whole.replacen("\"keyferry_backup\":1", "\"keyferry_backup\":2", 1),
            "has form 2",
        ),
    ] {
        let error = read(altered.as_bytes(), &keys, &peppers).unwrap_err();
        assert!(error.to_string().contains(told), "{what}: {error}");
    }
}

#[test]
fn only_who_has_the_secret_is_believed() {
    let bytes = written(&record_keys(1), &peppers(2), &lines());
    let other = read(&bytes, &record_keys(9), &peppers(2)).unwrap_err();
    assert!(matches!(other, BackupError::Altered(_)), "{other}");
    let none = read(&bytes, &RecordKeys::none(), &peppers(2)).unwrap_err();
    assert!(none.to_string().contains("record key 1"), "{none}");
    // The record key alone does, and without one the pepper.
    assert!(read(&bytes, &record_keys(1), &peppers(9)).is_ok());
    let bytes = written(&RecordKeys::none(), &peppers(2), &lines());
    assert!(read(&bytes, &record_keys(1), &peppers(2)).is_ok());
    assert!(read(&bytes, &record_keys(1), &peppers(9)).is_err());
}

fn key(edit: impl FnOnce(&mut KeyRecord)) -> Record {
    let id = KeyId::generate();
    let mut key = KeyRecord::reserved(id, "a".parse().unwrap(), NOW);
    edit(&mut key);
    key.into()
}

fn issued(key: &mut KeyRecord) {
    let digest = serde_json::json!({ "pepper": 1, "bytes": "00".repeat(32) });
    key.digest = serde_json::from_value(digest).unwrap();
    key.issued_at = Some(NOW);
}

fn certificate(mapping: Mapping) -> Record {
    CertificateRecord::new(Fingerprint::of(b"a"), mapping, Source::Operator, NOW).into()
}

/// One that is recorded as it is.
fn with_whole(mapping: Mapping) -> Record {
    let record = CertificateRecord::new(Fingerprint::of(b"a"), mapping, Source::Operator, NOW);
    let whole = Some(b"a".to_vec().into());
    CertificateRecord { whole, ..record }.into()
}

/// Pairs of which the second is further in its life.
fn lives(id: KeyId) -> Vec<(Record, Record)> {
    let owner = || "a".parse().unwrap();
    let mapped = || Mapping::Mapped {
        client: owner(),
        key: id,
    };
    let superseded = || Mapping::Superseded {
        client: owner(),
        key: id,
        at: NOW,
    };
    let alias = |state| {
        let alias = AliasRecord::new(Alias::Sha1([1; 20]), owner(), NOW);
        Record::from(AliasRecord { state, ..alias })
    };
    let with_id = |edit: fn(&mut KeyRecord)| {
        key(|key| {
            key.id = id;
            edit(key);
        })
    };
    let revoked: fn(&mut KeyRecord) = |key| {
        issued(key);
        key.status = KeyStatus::Revoked {
            at: NOW,
            by: RevokedBy::Operator,
        };
    };
    let removed = || certificate(Mapping::Removed { at: NOW });
    vec![
        (with_id(|_| {}), with_id(issued)),
        (
            with_id(issued),
            with_id(|key| {
                issued(key);
                key.rotated_to = Some(key.id);
                key.expires_at = Some(NOW);
            }),
        ),
        (with_id(issued), with_id(revoked)),
        (
            client("a").into(),
            ClientRecord {
                status: ClientStatus::Disabled { at: NOW },
                ..client("a")
            }
            .into(),
        ),
        (certificate(Mapping::Pending), certificate(mapped())),
        (certificate(mapped()), certificate(superseded())),
        (with_whole(mapped()), certificate(superseded())),
        (with_whole(mapped()), removed()),
        (certificate(mapped()), removed()),
        (certificate(superseded()), removed()),
        (
            alias(AliasState::Open),
            alias(AliasState::Bound {
                to: Fingerprint::of(b"a"),
            }),
        ),
        (
            alias(AliasState::Open),
            alias(AliasState::Withdrawn { at: NOW }),
        ),
    ]
}

#[test]
fn what_is_further_in_its_life_wins_from_either_side() {
    for (before, after) in lives(KeyId::generate()) {
        let revokes = is_revoked(&after) && !is_revoked(&before);
        let (outcome, merged) = merge(&before, &after);
        let expected = if revokes {
            Outcome::Revoked
        } else {
            Outcome::Advanced
        };
        assert_eq!(outcome, expected, "{before:?} {after:?}");
        assert_eq!(content(&merged), content(&after));
        let (outcome, merged) = merge(&after, &before);
        assert_eq!(outcome, Outcome::Stays, "{before:?} {after:?}");
        assert_eq!(content(&merged), content(&after));
        assert_eq!(merge(&after, &after).0, Outcome::Same);
    }
}

#[test]
fn what_is_another_clients_stays() {
    let of = |client: &str| {
        certificate(Mapping::Mapped {
            client: client.parse().unwrap(),
            key: KeyId::generate(),
        })
    };
    let (here, there) = (of("a"), of("b"));
    let (outcome, merged) = merge(&here, &there);
    assert_eq!(outcome, Outcome::Anothers);
    assert_eq!(content(&merged), content(&here));
}

/// After a loss its client fetched a key again, and has that one.
#[test]
fn a_digest_of_another_key_under_the_same_id_does_not_take_its_place() {
    let issued_at = |id, pepper, byte: &str, at: Timestamp| {
        key(|key| {
            let digest = serde_json::json!({ "pepper": pepper, "bytes": byte.repeat(32) });
            key.id = id;
            key.digest = serde_json::from_value(digest).unwrap();
            key.issued_at = Some(at);
        })
    };
    let id = KeyId::generate();
    let known = issued_at(id, 1, "00", NOW);
    let renewed = issued_at(id, 2, "11", NOW);
    let (outcome, merged) = merge(&known, &renewed);
    assert_eq!(outcome, Outcome::Advanced);
    assert_eq!(content(&merged), content(&renewed));
    let later = NOW.plus(std::time::Duration::from_secs(1));
    let (outcome, merged) = merge(&known, &issued_at(id, 2, "11", later));
    assert_eq!(outcome, Outcome::Stays);
    assert_eq!(content(&merged), content(&known));
}

#[test]
fn a_sealed_key_is_not_kept() {
    let with = key(|key| {
        issued(key);
        let receipt = serde_json::json!({ "sealed": "AAAA", "until": 1 });
        key.receipt = serde_json::from_value(receipt).unwrap();
    });
    let without = kept(with.clone());
    assert!(matches!(&without, Record::Key(key) if key.receipt.is_none()));
    // The store's own goes on answering a claim again.
    let (outcome, merged) = merge(&with, &without);
    assert_eq!(outcome, Outcome::Same);
    assert!(matches!(&merged, Record::Key(key) if key.receipt.is_some()));
}
