//! NIST's Public Key Interoperability Test Suite, which `make setup` fetches.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::ptr;

use keyferry::certificate::Ca;
use keyferry::tls::x509::{X509, X509NameRef};
use serde::Deserialize;

use super::{Judges, Known, Tally, notes};

/// When the certificates of the suite are valid that are not about dates.
const MOMENT: i64 = 1_300_000_000;
/// The extension cRLDistributionPoints names issuers of indirect lists; theirs are all called so.
const INDIRECT: &str = "indirectCRL";

/// What the suite's document says that the names of its files do not.
#[derive(Deserialize)]
struct Expected {
    valid: Vec<String>,
    invalid: Vec<String>,
    #[serde(flatten)]
    known: Known,
}

/// The suite, by the names of its files.
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
            expected: notes("pkits.toml"),
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
    fn above(&self, client: &X509) -> Vec<X509> {
        let mut found: Vec<&X509> = Vec::new();
        let mut wanted = vec![client.issuer_name()];
        while let Some(name) = wanted.pop() {
            for other in self.others.values() {
                let known = has(&found, other) || ptr::eq(other, self.root());
                if same(other.subject_name(), name) && !known {
                    found.push(other);
                    wanted.push(other.issuer_name());
                }
            }
        }
        let text = format!("{:?}", client.issuer_name());
        let indirect = self.others.iter().filter(|(name, other)| {
            let known = has(&found, other);
            text.contains(INDIRECT) && name.starts_with(INDIRECT) && !known
        });
        let indirect: Vec<_> = indirect.map(|(_, other)| other).collect();
        found.extend(indirect);
        found.into_iter().cloned().collect()
    }
}

fn has(found: &[&X509], one: &X509) -> bool {
    found.iter().any(|known| ptr::eq(*known, one))
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

/// The root, with the one exception that the suite needs: it knows no clients.
fn ca(suite: &Pkits) -> Ca {
    Ca {
        name: "pkits".to_owned(),
        pem: suite.root().to_pem().expect("PEM"),
        allow_missing_client_auth: true,
        allow_weak: false,
        max_depth: 16,
        ..Ca::default()
    }
}

#[test]
fn pkits_is_judged_as_nist_expects() {
    let mut suite = Pkits::read();
    let mut tally = Tally::new(std::mem::take(&mut suite.expected.known));
    let judges = Judges::new(ca(&suite), &suite.lists, MOMENT);
    for (test, client) in &suite.clients {
        let above = suite.above(client);
        tally.judge(test, suite.is_valid(test), &judges, client, &above);
    }
    assert!(tally.all > 200, "the suite is not whole: {}", tally.all);
    tally.check();
}
