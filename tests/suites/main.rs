//! Public suites of certificates: we accept nothing bad that OpenSSL with its strictest settings
//! does not, and are right at least as often. With either TLS library.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test that stops with a message is the point"
)]

mod limbo;
#[path = "../support/list.rs"]
mod list;
#[path = "../support/pki.rs"]
mod pki;
mod pkits;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyferry::certificate::{Ca, Chain, Lineage, RevocationList, Trust, Verifier};
use keyferry::clock::Timestamp;
use keyferry::tls::x509::X509;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// The TLS library that these tests are built with.
const LIBRARY: &str = if cfg!(feature = "boringssl") {
    "boringssl"
} else {
    "openssl"
};

/// Where we judge otherwise than the suite, as its file tells.
#[derive(Default, Deserialize)]
struct Known {
    #[serde(default)]
    accepted: Vec<Group>,
    #[serde(default)]
    refused: Vec<Group>,
}

/// Tests of the suite with one thing to say about them.
#[derive(Deserialize)]
struct Group {
    why: String,
    /// Whether it is about what a client is here, and so no measure of who judges chains better.
    #[serde(default)]
    by_choice: bool,
    /// The TLS library with which it is so; none: with either.
    only_with: Option<String>,
    tests: Vec<String>,
}

/// What `tests/suites/` says of a suite.
fn notes<T: DeserializeOwned>(file: &str) -> T {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/suites").join(file)).expect("a file");
    toml::from_str(&text).expect("TOML as expected")
}

/// All tests of these groups.
fn named<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Vec<String> {
    let groups = groups.into_iter();
    let groups = groups.inspect(|group| assert!(!group.why.is_empty()));
    let mut tests: Vec<_> = groups.flat_map(|group| group.tests.clone()).collect();
    tests.sort();
    tests
}

/// We and OpenSSL, with the same authority and the same lists.
struct Judges {
    at: i64,
    /// None when the authority is not even taken.
    ours: Option<Verifier>,
    openssl: OpenSsl,
}

impl Judges {
    fn new(ca: Ca, lists: &[Vec<u8>], at: i64) -> Self {
        let openssl = OpenSsl::new(&ca, lists, at);
        let read = |der: &Vec<u8>| RevocationList::read(der).expect("a list");
        let trust = Trust::new(1, vec![ca]).ok();
        let trust = trust.map(|trust| trust.with_lists(lists.iter().map(read).collect()));
        Self {
            at,
            ours: trust.map(Verifier::new),
            openssl,
        }
    }

    /// Our verdict, which is that of a request and that of `keyferry explain`.
    fn accept(&self, client: &X509, others: &[X509]) -> bool {
        let Some(verifier) = &self.ours else {
            return false;
        };
        let der = |x509: &X509| x509.to_der().expect("DER");
        let others: Vec<_> = others.iter().map(der).collect();
        let chain = Chain::from_der(&der(client), &others);
        let now = Timestamp::from_unix(self.at);
        let explanation = verifier.explain(&chain, Lineage::Unknown, now);
        let live = verifier.verify(&chain, now).at(now);
        assert_eq!(explanation.is_verified(), live.is_ok());
        live.is_ok()
    }
}

/// OpenSSL's program, with all that it can be told to demand.
struct OpenSsl {
    folder: TempDir,
    arguments: Vec<String>,
}

impl OpenSsl {
    fn new(ca: &Ca, lists: &[Vec<u8>], at: i64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let anchors = write(&folder, "anchors", &ca.pem);
        let mut arguments = format!(
            "verify -x509_strict -policy_check -purpose sslclient -auth_level 2 -attime {at} \
             -no-CApath -no-CAstore -CAfile {}",
            anchors.display()
        );
        let pem = X509::stack_from_pem(&ca.pem).expect("PEM");
        let is_root =
            |x509: &X509| x509.issuer_name().to_der().ok() == x509.subject_name().to_der().ok();
        if !pem.iter().all(is_root) {
            arguments += " -partial_chain";
        }
        if !lists.is_empty() {
            let pem: String = lists.iter().map(|der| list_pem(der)).collect();
            let lists = write(&folder, "lists", pem.as_bytes());
            arguments += " -crl_check_all -extended_crl -use_deltas -CRLfile ";
            arguments += &lists.display().to_string();
        }
        Self {
            folder,
            arguments: arguments.split(' ').map(str::to_owned).collect(),
        }
    }

    fn accepts(&self, client: &X509, others: &[X509]) -> bool {
        let pem = |x509: &X509| x509.to_pem().expect("PEM");
        let own = write(&self.folder, "own", &pem(client));
        let others: Vec<_> = others.iter().flat_map(pem).collect();
        let mut command = Command::new("openssl");
        command.args(&self.arguments);
        if !others.is_empty() {
            command
                .arg("-untrusted")
                .arg(write(&self.folder, "others", &others));
        }
        command.arg(own).output().expect("openssl").status.success()
    }
}

/// A revocation list in PEM.
fn list_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN X509 CRL-----\n{lines}\n-----END X509 CRL-----\n")
}

fn write(folder: &TempDir, name: &str, contents: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, contents).expect("a file");
    path
}

/// How a suite went.
struct Tally {
    known: Known,
    by_choice: Vec<String>,
    all: usize,
    /// How often we and OpenSSL were right, where that is a measure.
    right: usize,
    theirs: usize,
    /// Bad, and accepted: by us alone, and by OpenSSL, too.
    alone: Vec<String>,
    accepted: Vec<String>,
    /// Good, and refused.
    refused: Vec<String>,
}

impl Tally {
    fn new(mut known: Known) -> Self {
        let ours = |group: &Group| group.only_with.as_ref().is_none_or(|one| one == LIBRARY);
        known.accepted.retain(ours);
        known.refused.retain(ours);
        let by_choice = named(known.refused.iter().filter(|group| group.by_choice));
        Self {
            known,
            by_choice,
            all: 0,
            right: 0,
            theirs: 0,
            alone: Vec::new(),
            accepted: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn judge(&mut self, test: &str, good: bool, judges: &Judges, client: &X509, others: &[X509]) {
        let (ours, theirs) = (
            judges.accept(client, others),
            judges.openssl.accepts(client, others),
        );
        self.all += 1;
        let counts = !self.by_choice.iter().any(|name| name == test);
        self.right += usize::from(counts && ours == good);
        self.theirs += usize::from(counts && theirs == good);
        match (good, ours) {
            (false, true) if theirs => self.accepted.push(test.to_owned()),
            (false, true) => self.alone.push(test.to_owned()),
            (true, false) => self.refused.push(test.to_owned()),
            _ => {}
        }
    }

    fn check(mut self) {
        assert_eq!(self.alone, [""; 0], "bad, and accepted by us alone");
        self.accepted.sort();
        self.refused.sort();
        let known = self.known;
        assert_eq!(self.accepted, named(&known.accepted), "bad, and accepted");
        assert_eq!(self.refused, named(&known.refused), "good, and refused");
        let (all, right, theirs) = (self.all, self.right, self.theirs);
        println!("of {all}: we are right {right} times, OpenSSL {theirs}");
        assert!(right >= theirs, "right: we {right} times, OpenSSL {theirs}");
    }
}
