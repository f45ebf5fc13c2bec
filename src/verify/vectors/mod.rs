//! The vectors in `tests/data/signature`, from which a verifier in any language can learn whether it is
//! right: they are made here, what is good by the signer itself, and this verifier agrees with each.
//!
//! A change makes [`the_vectors_are_the_ones_in_the_files`] fail and leaves the new ones under `target`;
//! `make vectors` takes them over.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that stops with a message is the point"
)]

mod case;
mod ed25519;
mod evil;
mod good;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use case::{Case, Expect, NOW, secrets};

use super::*;
use crate::secret::SecretBytes;
use crate::sign::{Algorithm, SigningKey, VerifyingKey};

const KEPT: &str = "tests/data/signature";
const MADE: &str = "target/vectors";

/// A file: what is signed by one algorithm, and what it is checked with.
struct Vectors {
    algorithm: Algorithm,
    keys: Vec<VerifyingKey>,
    /// The same as in the file, under this name there, by key id.
    written: (&'static str, Vec<(String, String)>),
    /// None with a name or a nonce twice.
    cases: Vec<Case>,
}

fn by_secrets() -> Vectors {
    let mut cases = good::all();
    cases.extend(evil::all(cases.len()));
    let secrets = secrets();
    let text =
        |(id, secret): &(&str, SecretBytes)| ((*id).to_owned(), hex::encode(secret.expose()));
    let key = |(id, secret): &(&str, SecretBytes)| SigningKey::new(id, secret).unwrap().into();
    Vectors {
        algorithm: Algorithm::HmacSha256,
        keys: secrets.iter().map(key).collect(),
        written: ("secrets", secrets.iter().map(text).collect()),
        cases,
    }
}

fn by_public_keys() -> Vectors {
    let keys = ed25519::keys().map(VerifyingKey::from);
    let text = |key: &VerifyingKey| (key.id().to_owned(), key.to_pem().unwrap());
    Vectors {
        algorithm: Algorithm::Ed25519,
        written: ("public_keys", keys.iter().map(text).collect()),
        keys: keys.into(),
        cases: ed25519::all(),
    }
}

fn all() -> [Vectors; 2] {
    [by_secrets(), by_public_keys()]
}

impl Vectors {
    fn file(&self) -> String {
        format!("{}.json", self.algorithm.as_str())
    }

    /// One case a line, so that a change of one can be read.
    fn text(&self) -> String {
        let (name, keys) = &self.written;
        let keys: serde_json::Map<_, _> = { keys.iter().cloned() }
            .map(|(id, key)| (id, key.into()))
            .collect();
        let lines: Vec<_> = { self.cases.iter() }
            .map(|case| serde_json::to_string(case).unwrap())
            .collect();
        format!(
            "{{\n\"alg\": \"{}\",\n\"now\": {},\n\"{name}\": {},\n\"cases\": [\n{}\n]\n}}\n",
            self.algorithm.as_str(),
            NOW.as_unix(),
            serde_json::Value::from(keys),
            lines.join(",\n")
        )
    }

    fn guard(&self) -> Guard {
        Guard::believing(self.keys.iter().cloned(), 1000).unwrap()
    }
}

#[test]
fn the_vectors_are_the_ones_in_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut others = Vec::new();
    for vectors in all() {
        let (file, made) = (vectors.file(), vectors.text());
        fs::create_dir_all(root.join(MADE)).unwrap();
        fs::write(root.join(MADE).join(&file), &made).unwrap();
        let kept = fs::read_to_string(root.join(KEPT).join(&file));
        if made != kept.unwrap_or_default() {
            others.push(file);
        }
    }
    assert!(
        others.is_empty(),
        "{others:?} of {KEPT} are not what is made now; look at {MADE}, and take them over with: make vectors"
    );
}

/// What this verifier makes of a case: the client and the key id, or the reason.
fn verdict(guard: &Guard, case: &Case) -> Result<(String, String), &'static str> {
    const UNREADABLE: &str = "request_malformed";
    let parts = case.parts().ok_or(UNREADABLE)?;
    let target = case.target_bytes();
    let admitted = guard.admit(&parts, &target, NOW);
    let admitted = admitted.map_err(|refusal| refusal.reason())?;
    let Admitted::Verified(vouched) = admitted else {
        return Err("open");
    };
    let body = case.body.clone().unwrap_or_default();
    if !body_fits(&parts.headers, body.into()) {
        return Err("body_mismatch");
    }
    Ok((vouched.client.to_string(), vouched.key_id.to_string()))
}

/// ATTACKS S and H, as far as they reach a backend: the verdict of each, and of what is good a second time.
#[test]
fn s_and_h_every_vector_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    for vectors in all() {
        let guard = vectors.guard();
        for case in vectors.cases {
            let found = verdict(&guard, &case);
            let (said, again) = match &case.expect {
                Expect::Accept { client, key_id, .. } => (
                    Ok((client.clone(), key_id.clone())),
                    Some("signature_replayed"),
                ),
                Expect::Refuse(reason) => (Err(&**reason), None),
            };
            let is_as_said =
                found == said && again.is_none_or(|reason| verdict(&guard, &case) == Err(reason));
            if !is_as_said {
                wrong.push((vectors.algorithm, case.name, found));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A verifier that takes the covered components from the request, and asks for nothing else, believes
/// those: they are signed with the right secret, and only their form is wrong.
#[test]
fn s7_what_is_signed_again_would_be_believed_by_a_verifier_that_asks_for_no_form() {
    let cases = by_secrets().cases;
    let again = cases.iter().filter(|case| case.is_signed_again);
    assert!(again.clone().count() > 30);
    for case in again {
        let mut once_more = case.clone();
        once_more.sign_again(case::KEY);
        assert_eq!(once_more.headers, case.headers, "{}", case.name);
    }
}

#[test]
fn no_name_and_no_nonce_is_there_twice() {
    for Vectors { cases, .. } in all() {
        let names: HashSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len());
        let is_good = |case: &&Case| matches!(case.expect, Expect::Accept { .. });
        let good = cases.iter().filter(is_good);
        let inputs: HashSet<_> = good.clone().map(|case| case.value("Signature")).collect();
        assert_eq!(inputs.len(), good.count());
    }
}
