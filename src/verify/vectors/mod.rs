//! The vectors in `tests/data/signature`, from which a verifier in any language can learn whether it is
//! right: they are made here, what is good by the signer itself, and this verifier agrees with each.
//!
//! A change makes [`the_vectors_are_the_ones_in_the_file`] fail and leaves the new ones under `target`;
//! `make vectors` takes them over.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that stops with a message is the point"
)]

mod case;
mod evil;
mod good;

use std::fs;
use std::path::Path;

use case::{Case, Expect, NOW, secrets};

use super::*;
use crate::sign::SigningKey;

const KEPT: &str = "tests/data/signature/hmac-sha256.json";
const MADE: &str = "target/vectors/hmac-sha256.json";

/// All of them, none with a name or a nonce twice.
fn all() -> Vec<Case> {
    let mut all = good::all();
    all.extend(evil::all(all.len()));
    all
}

/// One case a line, so that a change of one can be read.
fn text(cases: &[Case]) -> String {
    let secrets: serde_json::Map<_, _> = secrets()
        .into_iter()
        .map(|(id, secret)| (id.to_owned(), hex::encode(secret.expose()).into()))
        .collect();
    let secrets = serde_json::Value::from(secrets);
    let lines: Vec<_> = cases
        .iter()
        .map(|case| serde_json::to_string(case).unwrap())
        .collect();
    format!(
        "{{\n\"alg\": \"hmac-sha256\",\n\"now\": {},\n\"secrets\": {secrets},\n\"cases\": [\n{}\n]\n}}\n",
        NOW.as_unix(),
        lines.join(",\n")
    )
}

#[test]
fn the_vectors_are_the_ones_in_the_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = text(&all());
    let kept = fs::read_to_string(root.join(KEPT)).unwrap_or_default();
    if made != kept {
        fs::create_dir_all(root.join("target/vectors")).unwrap();
        fs::write(root.join(MADE), &made).unwrap();
    }
    assert!(
        made == kept,
        "{KEPT} is not what is made now; look at {MADE}, and take it over with: make vectors"
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

fn guard() -> Guard {
    let keys = secrets().into_iter();
    let keys = keys.map(|(id, secret)| SigningKey::new(id, &secret).unwrap());
    Guard::believing(keys, 1000).unwrap()
}

/// ATTACKS S and H, as far as they reach a backend: the verdict of each, and of what is good a second time.
#[test]
fn s_and_h_every_vector_is_judged_as_it_says() {
    let guard = guard();
    let mut wrong = Vec::new();
    for case in all() {
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
            wrong.push((case.name, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A verifier that takes the covered components from the request, and asks for nothing else, believes
/// those: they are signed with the right secret, and only their form is wrong.
#[test]
fn s7_what_is_signed_again_would_be_believed_by_a_verifier_that_asks_for_no_form() {
    let cases = all();
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
    let cases = all();
    let names: std::collections::HashSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len());
    let good = cases
        .iter()
        .filter(|case| matches!(case.expect, Expect::Accept { .. }));
    let inputs: std::collections::HashSet<_> =
        good.clone().map(|case| case.value("Signature")).collect();
    assert_eq!(inputs.len(), good.count());
}
