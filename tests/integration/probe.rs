//! `keyferry probe` tells what a backend believes: everything, what is signed, or only what it should.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::backend::{Backend, Belief};
use crate::support::free_addresses;
use crate::support::gateway::secret;
use crate::support::process::program;
use crate::support::verify::Verify;

/// What it tells of each attack, its status, and what it says on standard error.
fn probe(at: SocketAddr, with: Option<&[u8]>, more: &[&str]) -> (Vec<Value>, i32, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    let mut program = program();
    program.args([
        "probe",
        &format!("http://{at}/v1/orders?a=b"),
        "--output",
        "json",
    ]);
    program.args(["--host", "api.example.com"]).args(more);
    if let Some(secret) = with {
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        program
            .arg("--secret")
            .arg(format!("echo={}", file.display()));
    }
    let output = program.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = all.as_array().unwrap().clone();
    (all, output.status.code().unwrap(), errors)
}

fn of(all: &[Value], verdict: &str) -> Vec<String> {
    let with = all.iter().filter(|one| one["verdict"] == verdict);
    with.map(|one| one["attack"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_backend_that_believes_everything_is_told_so() {
    let backend = Backend::start();
    let (all, status, errors) = probe(backend.address(), None, &[]);
    assert_eq!(status, 1, "{errors}");
    let strangers = [
        "unsigned",
        "claimed",
        "underscored",
        "stranger",
        "stranger-ed25519",
    ];
    assert_eq!(of(&all, "believed"), strangers);
    assert!(errors.contains("--secret"), "{errors}");
    let seen = backend.requests();
    assert!(
        seen.iter()
            .any(|it| it.all("x_client_id") == ["keyferry-doctor"])
    );
    assert!(
        seen.iter()
            .all(|it| it.method == "GET" && it.header("user-agent") == "keyferry-probe")
    );
    let (all, status, _) = probe(backend.address(), Some(&secret("echo")), &[]);
    assert_eq!((of(&all, "believed").len(), all.len(), status), (16, 16, 1));
}

#[test]
fn behind_the_verifier_nothing_is_believed() {
    let backend = Backend::start();
    let verify = Verify::before(backend.address(), &[("echo", &secret("echo"))], &[]);
    let (all, status, errors) = probe(verify.address(), Some(&secret("echo")), &[]);
    assert_eq!(
        (status, of(&all, "believed")),
        (0, vec!["good".to_owned()]),
        "{errors} {all:#?}"
    );
    assert_eq!(of(&all, "refused").len(), 15);
    // One replayed request was good the first time, and so was the control.
    assert_eq!(backend.requests().len(), 2);
}

/// A check that looks at the MAC alone; and one that remembers nothing.
#[test]
fn a_check_that_forgets_something_is_found_out() {
    let backend = Backend::believing(Belief::SignedWith(secret("echo")));
    let (all, status, _) = probe(backend.address(), Some(&secret("echo")), &[]);
    let believed = [
        "good",
        "replayed",
        "expired",
        "early",
        "other-scopes",
        "disguised",
    ];
    assert_eq!(
        (status, of(&all, "believed")),
        (1, believed.map(str::to_owned).to_vec())
    );

    let bare = Backend::start();
    let secrets = [("echo", &*secret("echo"))];
    let forgetful = Verify::before(bare.address(), &secrets, &["--remember", "0"]);
    let (all, status, _) = probe(forgetful.address(), Some(&secret("echo")), &[]);
    assert_eq!(
        (status, of(&all, "believed")),
        (1, vec!["good".to_owned(), "replayed".to_owned()])
    );
    let (_, status, _) = probe(
        forgetful.address(),
        Some(&secret("echo")),
        &["--except", "replayed"],
    );
    assert_eq!(status, 0);
}

#[test]
fn what_tells_nothing_is_not_taken_for_safe() {
    let backend = Backend::start();
    let verify = Verify::before(backend.address(), &[("echo", &secret("echo"))], &[]);
    let (all, status, errors) = probe(verify.address(), Some(&secret("other")), &[]);
    assert_eq!((status, of(&all, "believed").len()), (1, 0));
    assert!(errors.contains("was not believed"), "{errors}");
    // Nobody is there.
    let [gone] = free_addresses();
    let (all, status, _) = probe(gone, None, &[]);
    assert_eq!((status, of(&all, "unclear").len()), (1, 5));
}
