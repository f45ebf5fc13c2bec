//! Records of all kinds, of few names, so that each is changed often.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::certificate::{
    Alias, AliasRecord, AliasState, CertificateRecord, Facts, Fingerprint, Mapping, Source,
};
use crate::client::{ClientId, ClientRecord, ClientStatus};
use crate::clock::Timestamp;
use crate::directory::View;
use crate::directory::rows::UNKNOWN;
use crate::key::{Digest, KeyId, KeyRecord, KeyStatus, RevokedBy};
use crate::phase::{self, PhaseRecord, Setting, Step, Target};
use crate::store::{Actor, Record};

/// The first and the last second that is kept, and one that is now.
const TIMES: [i64; 3] = [1, 1_800_000_000, 4_294_967_295];
/// Of keys and certificates each: some of one place, the first and the last among them.
pub(super) const EACH: usize = 6;
const BEGINS: [u64; EACH] = [1, 2, 1 << 32, u64::MAX, u64::MAX - 1, 0x7654_3210_0000_0000];
const KEYS: [u64; EACH] = [0, 1, 1 << 30, u64::MAX >> 2, (u64::MAX >> 2) - 1, 7 << 40];

pub(super) fn certificate(n: usize) -> Fingerprint {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&BEGINS[n].to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

pub(super) fn key(n: usize) -> KeyId {
    let text = format!("0190000000007000{:016x}", KEYS[n] | 1 << 63);
    text.parse().unwrap()
}

pub(super) fn alias(n: usize) -> Alias {
    Alias::Sha1([u8::try_from(n).unwrap(); 20])
}

/// Short and long names; the last two meet in `view`.
pub(super) fn clients(view: &View) -> Vec<ClientId> {
    let of = |length| "n".repeat(length).parse().unwrap();
    let all = [1, 22, 23, 64].map(of).into_iter();
    all.chain(that_meet(view)).collect()
}

/// Two names that make one number in `view`.
fn that_meet(view: &View) -> [ClientId; 2] {
    let mut names = HashMap::new();
    for n in 0..2_000_000 {
        let name: ClientId = format!("client-of-a-long-name-{n}").parse().unwrap();
        if let Some(other) = names.insert(view.spread(&name), name.clone()) {
            return [other, name];
        }
    }
    panic!("no two names meet");
}

/// What a record is made of.
pub(super) type Seed = (usize, usize, usize, usize, usize, usize);

pub(super) fn seeds() -> impl Strategy<Value = Seed> {
    (0..5usize, 0..EACH, 0..EACH, 0..EACH, 0..48usize, 0..3usize)
}

pub(super) fn record(clients: &[ClientId], seed: Seed) -> Record {
    let (kind, n, who, other, what, at) = seed;
    let (client, at) = (clients[who].clone(), Timestamp::from_unix(TIMES[at]));
    match kind {
        0 => client_record(clients[n].clone(), what, at).into(),
        1 => certificate_record((n, other), client, what, at).into(),
        2 => {
            let state = match what % 3 {
                0 => AliasState::Open,
                1 => AliasState::Withdrawn { at },
                _ => AliasState::Bound {
                    to: certificate(other),
                },
            };
            let record = AliasRecord::new(alias(n), client, at);
            AliasRecord { state, ..record }.into()
        }
        3 => key_record((n, other), client, what, at).into(),
        _ => {
            let targets = ["all", "cohort:x", "cohort:!x", "cohort:y"];
            let target = targets.get(n).map(|target| target.parse().unwrap());
            let target = target.unwrap_or(Target::Client(client));
            let steps = [Step::Accept, Step::Announce, Step::Retired];
            let Some(step) = steps.get(what % 4) else {
                return PhaseRecord::new(target).into();
            };
            let setting = Setting::new(step.clone(), Actor::Gateway, at);
            phase::set(None, target, setting).writes[0].record.clone()
        }
    }
}

fn client_record(id: ClientId, what: usize, at: Timestamp) -> ClientRecord {
    let tags = ["x", "y"].into_iter().take(what / 2 % 3);
    let mut record = ClientRecord::new(id, None, at);
    record.tags = tags.map(|tag| tag.parse().unwrap()).collect();
    if what.is_multiple_of(2) {
        record.status = ClientStatus::Disabled { at };
    }
    record
}

fn certificate_record(
    (n, other): (usize, usize),
    client: ClientId,
    what: usize,
    at: Timestamp,
) -> CertificateRecord {
    let (key, of) = (key(other), certificate(other));
    let facts = Facts {
        subject: format!("CN={other}"),
        issuer: "CN=Clients".to_owned(),
        alternative_names: Vec::new(),
        serial: "01".to_owned(),
        spki: client.to_string(),
        not_before: UNKNOWN,
        not_after: at,
    };
    let mapping = match what % 6 {
        0 | 1 => Mapping::Mapped { client, key },
        2 => Mapping::Superseded { client, key, at },
        3 => Mapping::Removed { at },
        4 => Mapping::Pending,
        _ => Mapping::Twin { of },
    };
    let mut record = CertificateRecord::new(certificate(n), mapping, Source::Operator, at);
    record.facts = (what < 36).then_some(facts);
    record.ca = ["one", "two"].get(what / 6 % 3).map(|&ca| ca.to_owned());
    let is_twin = matches!(record.mapping, Mapping::Twin { .. });
    record.renewed_by = ((what / 12).is_multiple_of(2) && !is_twin).then_some(of);
    record
}

fn key_record(
    (n, other): (usize, usize),
    client: ClientId,
    what: usize,
    at: Timestamp,
) -> KeyRecord {
    let by = [RevokedBy::Operator, RevokedBy::Client][what / 3 % 2];
    let digest = Digest::of_parts(u32::try_from(other).unwrap(), [9; 32]);
    let far = Timestamp::from_unix(253_402_300_799);
    let scopes = (0..what % 3).map(|n| n.to_string().parse().unwrap());
    KeyRecord {
        digest: (!what.is_multiple_of(4)).then_some(digest),
        status: [KeyStatus::Active, KeyStatus::Revoked { at, by }][what / 6 % 2],
        issued_at: (!what.is_multiple_of(5)).then_some(at),
        expires_at: [None, Some(at), Some(far)][what / 12 % 3],
        scopes: scopes.collect(),
        ..KeyRecord::reserved(key(n), client, at)
    }
}
