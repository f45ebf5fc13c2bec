//! x509-limbo (C2SP/x509-limbo), the cases for RFC 5280: each as its definition describes it, with
//! certificates made here and with clientAuth where the suite has serverAuth. Authorities bear no
//! names but those that a case is about, so that each case has one fault at most. What is left out,
//! and what we judge otherwise, is in `tests/suites/limbo.toml`.

mod lists;
mod names;
mod paths;
mod profile;

use keyferry::certificate::Ca;
use keyferry::tls::x509::X509;
use serde::Deserialize;

use super::{Group, Judges, Known, Tally, named, notes};
use crate::pki::{Issued, Spec, leaf, now};

/// What the suite expects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Good,
    Bad,
}

/// One case of the suite.
struct Case {
    /// Its name there.
    id: String,
    expect: Expect,
    anchors: Vec<X509>,
    client: Issued,
    lists: Vec<Vec<u8>>,
    at: i64,
}

impl Case {
    /// A client whose chain leads to `root`, which is trusted.
    fn new(expect: Expect, id: &str, root: &Issued, client: Issued) -> Self {
        Self {
            id: id.to_owned(),
            expect,
            anchors: vec![root.x509.clone()],
            client,
            lists: Vec::new(),
            at: now(),
        }
    }

    /// One more authority that is trusted.
    fn trusting(mut self, other: &Issued) -> Self {
        self.anchors.push(other.x509.clone());
        self
    }

    /// Judged by one more revocation list.
    fn by(mut self, list: &crate::list::List<'_>) -> Self {
        self.lists.push(list.der());
        self
    }

    /// Judged at another moment.
    fn at(self, at: i64) -> Self {
        Self { at, ..self }
    }

    /// With the settings that the gateway has by default.
    fn judges(&self) -> Judges {
        let pem = self
            .anchors
            .iter()
            .flat_map(|x509| x509.to_pem().expect("PEM"));
        let ca = Ca {
            name: "limbo".to_owned(),
            pem: pem.collect(),
            allow_missing_client_auth: false,
            allow_weak: false,
            max_depth: 4,
            ..Ca::default()
        };
        Judges::new(ca, &self.lists, self.at)
    }
}

fn good(id: &str, root: &Issued, client: Issued) -> Case {
    Case::new(Expect::Good, id, root, client)
}

fn bad(id: &str, root: &Issued, client: Issued) -> Case {
    Case::new(Expect::Bad, id, root, client)
}

/// The client as most cases have it.
fn client() -> Spec {
    leaf("example.com")
        .no_basic_constraints()
        .names(&["example.com"])
}

/// What the suite's file says.
#[derive(Deserialize)]
struct Notes {
    #[serde(flatten)]
    known: Known,
    left_out: Vec<Group>,
}

#[test]
fn limbo_is_judged_as_rfc_5280_demands() {
    let notes: Notes = notes("limbo.toml");
    let left_out = named(&notes.left_out);
    let mut tally = Tally::new(notes.known);
    let mut seen: Vec<String> = Vec::new();
    let tables = [
        profile::cases(),
        names::cases(),
        paths::cases(),
        lists::cases(),
    ];
    for case in tables.into_iter().flatten() {
        assert!(!seen.contains(&case.id), "{} stands twice", case.id);
        let is_left_out = left_out
            .iter()
            .any(|name| case.id == *name || (name.ends_with("::") && case.id.starts_with(name)));
        assert!(!is_left_out, "{}: left out, and tried", case.id);
        let good = case.expect == Expect::Good;
        let (client, others) = (&case.client.x509, &case.client.intermediates);
        tally.judge(&case.id, good, &case.judges(), client, others);
        seen.push(case.id);
    }
    tally.check();
}
