//! Public suites of certificates: we accept nothing that they call bad, and are right at least as
//! often as OpenSSL with its strictest settings.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyferry::certificate::{Ca, Chain, Explanation, Lineage, RevocationList, Trust, Verifier};
use keyferry::clock::Timestamp;
use openssl::x509::{X509, X509NameRef};
use serde::Deserialize;
use tempfile::TempDir;

/// When the certificates of the suite are valid that are not about dates.
const MOMENT: i64 = 1_300_000_000;
/// The extension cRLDistributionPoints names issuers of indirect lists; theirs are all called so.
const INDIRECT: &str = "indirectCRL";

/// What the suite's document says that the names of its files do not.
#[derive(Deserialize)]
struct Expected {
    valid: Vec<String>,
    invalid: Vec<String>,
    refused: Vec<Refused>,
}

/// Good certificates that we do not accept.
#[derive(Deserialize)]
struct Refused {
    why: String,
    tests: Vec<String>,
}

/// NIST's Public Key Interoperability Test Suite, by the names of its files.
struct Pkits {
    expected: Expected,
    clients: BTreeMap<String, X509>,
    others: BTreeMap<String, X509>,
    lists: Vec<Vec<u8>>,
}

impl Pkits {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/suites/pkits");
        let expected = fs::read_to_string(root.join("tests/suites/pkits.toml"));
        let expected = toml::from_str(&expected.expect("a file")).expect("TOML as expected");
        let (mut clients, mut others) = (BTreeMap::new(), BTreeMap::new());
        for (name, der) in files(&folder.join("certs")) {
            let x509 = X509::from_der(&der).expect(&name);
            match name.strip_suffix("EE") {
                Some(test) => clients.insert(test.to_owned(), x509),
                None => others.insert(name, x509),
            };
        }
        let lists = files(&folder.join("crls")).map(|(_, der)| der).collect();
        Self {
            expected,
            clients,
            others,
            lists,
        }
    }

    fn root(&self) -> &X509 {
        &self.others["TrustAnchorRootCertificate"]
    }

    fn is_valid(&self, test: &str) -> bool {
        let said = |list: &[String]| list.iter().any(|name| name == test);
        let valid = test.starts_with("Valid") || said(&self.expected.valid);
        let invalid = test.starts_with("Invalid") || said(&self.expected.invalid);
        assert!(valid != invalid, "pkits.toml: is {test} valid?");
        valid
    }

    /// The certificates of all issuers above `client`, and of issuers of indirect lists where
    /// there are some.
    fn above(&self, client: &X509) -> Vec<&X509> {
        let mut found: Vec<&X509> = Vec::new();
        let mut wanted = vec![client.issuer_name()];
        while let Some(name) = wanted.pop() {
            for other in self.others.values() {
                let known = found.contains(&other);
                if same(other.subject_name(), name) && !known && other != self.root() {
                    found.push(other);
                    wanted.push(other.issuer_name());
                }
            }
        }
        let text = format!("{:?}", client.issuer_name());
        let indirect = self.others.iter().filter(|(name, other)| {
            let known = found.contains(other);
            text.contains(INDIRECT) && name.starts_with(INDIRECT) && !known
        });
        let indirect: Vec<_> = indirect.map(|(_, other)| other).collect();
        found.extend(indirect);
        found
    }
}

fn same(one: &X509NameRef, other: &X509NameRef) -> bool {
    one.try_cmp(other).expect("names") == Ordering::Equal
}

/// The files of a folder, without their extension.
fn files(folder: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}; run: make setup", folder.display()));
    entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.expect("a name that is text").to_owned();
        (name, fs::read(&path).expect("a file"))
    })
}

/// Our verdict, with the one exception that the suite needs: it knows no clients.
fn verifier(suite: &Pkits) -> Verifier {
    let lists = suite.lists.iter();
    let lists = lists.map(|der| RevocationList::read(der).expect("a list"));
    let ca = Ca {
        name: "pkits".to_owned(),
        pem: suite.root().to_pem().expect("PEM"),
        allow_missing_client_auth: true,
        allow_weak: false,
        max_depth: 16,
    };
    let trust = Trust::new(1, vec![ca]).expect("a root");
    Verifier::new(trust.with_lists(lists.collect()))
}

fn ours(verifier: &Verifier, client: &X509, above: &[&X509]) -> Explanation {
    let der = |x509: &X509| x509.to_der().expect("DER");
    let above: Vec<_> = above.iter().map(|x509| der(x509)).collect();
    let chain = Chain::from_der(&der(client), &above);
    let now = Timestamp::from_unix(MOMENT);
    let explanation = verifier.explain(&chain, Lineage::Unknown, now);
    let live = verifier.verify(&chain, now).at(now);
    assert_eq!(explanation.is_verified(), live.is_ok());
    explanation
}

/// OpenSSL's program, with all that it can be told to demand.
struct OpenSsl {
    folder: TempDir,
    root: PathBuf,
    lists: PathBuf,
}

impl OpenSsl {
    fn new(suite: &Pkits) -> Self {
        let folder = TempDir::new().expect("a folder");
        let root = folder.path().join("root.pem");
        fs::write(&root, suite.root().to_pem().expect("PEM")).expect("a file");
        let lists = folder.path().join("lists.pem");
        let pem = suite.lists.iter().flat_map(|der| {
            let list = openssl::x509::X509Crl::from_der(der).expect("a list");
            list.to_pem().expect("PEM")
        });
        fs::write(&lists, pem.collect::<Vec<_>>()).expect("a file");
        Self {
            folder,
            root,
            lists,
        }
    }

    fn accepts(&self, client: &X509, above: &[&X509]) -> bool {
        let (own, others) = (
            self.folder.path().join("own"),
            self.folder.path().join("others"),
        );
        fs::write(&own, client.to_pem().expect("PEM")).expect("a file");
        let above = above.iter().flat_map(|x509| x509.to_pem().expect("PEM"));
        fs::write(&others, above.collect::<Vec<_>>()).expect("a file");
        let mut command = Command::new("openssl");
        command.args([
            "verify",
            "-x509_strict",
            "-policy_check",
            "-purpose",
            "sslclient",
        ]);
        command.args(["-crl_check_all", "-extended_crl", "-use_deltas"]);
        command.args(["-auth_level", "2", "-attime", &MOMENT.to_string()]);
        command
            .args(["-no-CApath", "-no-CAstore", "-CAfile"])
            .arg(&self.root);
        command.arg("-CRLfile").arg(&self.lists);
        command.arg("-untrusted").arg(&others).arg(&own);
        let output = command.output().expect("openssl");
        output.status.success()
    }
}

#[test]
fn pkits_is_judged_as_nist_expects() {
    let suite = Pkits::read();
    let (verifier, openssl) = (verifier(&suite), OpenSsl::new(&suite));
    let (mut right, mut theirs, mut accepted, mut refused) = (0, 0, Vec::new(), Vec::new());
    for (test, client) in &suite.clients {
        let valid = suite.is_valid(test);
        let above = suite.above(client);
        let explanation = ours(&verifier, client, &above);
        match (valid, explanation.is_verified()) {
            (false, true) => accepted.push(test),
            (true, false) => refused.push(test),
            _ => right += 1,
        }
        theirs += usize::from(openssl.accepts(client, &above) == valid);
    }
    let all = suite.clients.len();
    assert!(all > 200, "the suite is not whole: {all}");
    assert_eq!(accepted, Vec::<&String>::new(), "accepted, and bad");
    let mut known: Vec<_> = suite
        .expected
        .refused
        .iter()
        .flat_map(|group| {
            assert!(!group.why.is_empty());
            &group.tests
        })
        .collect();
    known.sort();
    assert_eq!(
        refused, known,
        "good, and refused without a reason in pkits.toml"
    );
    assert!(
        right >= theirs,
        "right: {right} of ours, {theirs} of OpenSSL's"
    );
}
