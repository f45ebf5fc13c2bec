//! Name constraints (RFC 5280 section 4.2.1.10).

use std::net::IpAddr;
use std::slice::from_ref;

use serde::Deserialize;

use super::super::notes;
use super::{Case, Expect, bad, client, good};
use crate::pki::Kind::P256;
use crate::pki::{Spec, intermediate, leaf, new_key, oid_der, root, tlv};

const CONSTRAINTS: &str = "2.5.29.30";

/// `tests/suites/limbo-names.toml`.
#[derive(Deserialize)]
struct Table {
    cases: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Row {
    id: String,
    good: bool,
    /// Whether the root constrains, and not an intermediate.
    root: bool,
    /// Whether the constraints are not critical.
    loose: bool,
    permitted: Vec<String>,
    excluded: Vec<String>,
    subject: String,
    names: Vec<String>,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            id: String::new(),
            good: false,
            root: false,
            loose: false,
            permitted: Vec::new(),
            excluded: Vec::new(),
            subject: "example.com".to_owned(),
            names: Vec::new(),
        }
    }
}

impl Row {
    fn case(&self) -> Case {
        let constraints = constraints(&names(&self.permitted), &names(&self.excluded));
        let limit = |spec: Spec| spec.extension(CONSTRAINTS, !self.loose, &constraints);
        let client = bearing(leaf(&self.subject), &names(&self.names));
        let plain = root("Root");
        let (root, client) = if self.root {
            let root = limit(plain).self_signed();
            let client = client.signed_by(&root);
            (root, client)
        } else {
            let root = plain.self_signed();
            let issuing = limit(intermediate("Issuing")).signed_by(&root);
            (root, client.signed_by(&issuing))
        };
        let expect = if self.good { Expect::Good } else { Expect::Bad };
        Case::new(expect, &self.id, &root, client)
    }
}

/// One general name, in DER.
type Name = Vec<u8>;

fn names(texts: &[String]) -> Vec<Name> {
    texts.iter().map(|text| name(text)).collect()
}

fn name(text: &str) -> Name {
    let (form, name) = text.split_once(':').expect("a form");
    match form {
        "DNS" => tlv(0x82, name.as_bytes()),
        "email" => tlv(0x81, name.as_bytes()),
        "IP" => {
            let parts = name.split('/').map(|part| match part.parse() {
                Ok(IpAddr::V4(ip)) => ip.octets().to_vec(),
                Ok(IpAddr::V6(ip)) => ip.octets().to_vec(),
                Err(error) => panic!("{text}: {error}"),
            });
            tlv(0x87, &parts.collect::<Vec<_>>().concat())
        }
        "CN" => {
            let attribute = [oid_der("2.5.4.3"), tlv(0x0c, name.as_bytes())].concat();
            tlv(0xa4, &tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute))))
        }
        _ => {
            let value = [oid_der("1.3.6.1.4.1.55738.666.3"), tlv(0xa0, &[5, 0])];
            tlv(0xa0, &value.concat())
        }
    }
}

fn dns(text: &str) -> Name {
    tlv(0x82, text.as_bytes())
}

fn constraints(permitted: &[Name], excluded: &[Name]) -> Vec<u8> {
    let part = |tag, names: &[Name]| match names {
        [] => Vec::new(),
        names => {
            let trees = names.iter().map(|name| tlv(0x30, name));
            tlv(tag, &trees.collect::<Vec<_>>().concat())
        }
    };
    tlv(
        0x30,
        &[part(0xa0, permitted), part(0xa1, excluded)].concat(),
    )
}

/// An authority that may issue for some names only.
fn narrow(spec: Spec, permitted: &[Name], excluded: &[Name]) -> Spec {
    spec.extension(CONSTRAINTS, true, &constraints(permitted, excluded))
}

/// With these alternative names.
fn bearing(spec: Spec, names: &[Name]) -> Spec {
    spec.extension("2.5.29.17", false, &tlv(0x30, &names.concat()))
}

pub(super) fn cases() -> Vec<Case> {
    let table: Table = notes("limbo-names.toml");
    let rows = table.cases.iter().map(Row::case);
    rows.chain(misplaced())
        .chain(chains())
        .chain(choices())
        .collect()
}

/// Constraints in the certificate of a client.
fn misplaced() -> Vec<Case> {
    let root = &root("Root").self_signed();
    let limits = constraints(&[dns("example.com")], &[]);
    let limiting = |critical| {
        client()
            .extension(CONSTRAINTS, critical, &limits)
            .signed_by(root)
    };
    vec![
        bad(
            "rfc5280::nc::not-allowed-in-ee-noncritical",
            root,
            limiting(false),
        ),
        bad(
            "rfc5280::nc::not-allowed-in-ee-critical",
            root,
            limiting(true),
        ),
    ]
}

/// Constraints of several, and of those that issue for themselves.
fn chains() -> Vec<Case> {
    let [first_name, other_name] = ["foo.example.com", "bar.example.com"].map(dns);
    let named = |name: &Name| bearing(leaf("example.com"), from_ref(name));
    let both = || [first_name.clone(), other_name.clone()];
    let one = || [other_name.clone()];
    let free = &root("Root").self_signed();
    let of_two = |id, first: &[Name], second: &[Name]| {
        let upper = narrow(intermediate("Upper"), first, &[]).signed_by(free);
        let lower = narrow(intermediate("Lower"), second, &[]).signed_by(&upper);
        bad(id, free, named(&first_name).signed_by(&lower))
    };
    let (permitted, forbidden) = (dns("permitted.example.com"), dns("forbidden.example.com"));
    let limit = |spec| narrow(spec, from_ref(&permitted), from_ref(&forbidden));
    let forbidden = |spec| bearing(spec, from_ref(&forbidden));
    let upper = limit(intermediate("Upper")).signed_by(free);
    let lower = forbidden(intermediate("Lower")).signed_by(&upper);
    let limited = limit(root("Limited")).self_signed();
    let middle = intermediate("Middle").signed_by(&limited);
    let under_middle = forbidden(intermediate("Lower")).signed_by(&middle);
    let only_example = |name| narrow(root(name), &[dns("example.com")], &[]);
    let own = only_example("not-example.com")
        .names(&["not-example.com"])
        .self_signed();
    let again = intermediate("not-example.com")
        .names(&["not-example.com"])
        .signed_by(&own);
    let example = only_example("Root").self_signed();
    let other = intermediate("not-example.com")
        .names(&["not-example.com"])
        .signed_by(&example);
    let itself = leaf("not-example.com")
        .names(&["not-example.com"])
        .signed_by(&other);
    vec![
        good(
            "rfc5280::nc::permitted-self-issued",
            &own,
            client().signed_by(&again),
        ),
        bad("rfc5280::nc::excluded-self-issued-leaf", &example, itself),
        bad(
            "rfc5280::nc::intermediate-with-san-rejected-by-intermediate-nc",
            free,
            named(&permitted).signed_by(&lower),
        ),
        bad(
            "rfc5280::nc::intermediate-with-san-rejected-by-root-nc",
            &limited,
            named(&permitted).signed_by(&under_middle),
        ),
        of_two(
            "rfc5280::nc::restrictive-permits-in-intermediates-narrows",
            &both(),
            &one(),
        ),
        of_two(
            "rfc5280::nc::restrictive-permits-in-intermediates-widens",
            &one(),
            &both(),
        ),
    ]
}

/// Several ways up, of which one is good.
fn choices() -> Vec<Case> {
    let forbidden = || dns("forbidden.example.com");
    let twin = |key, names: &[Name]| {
        let spec = intermediate("an-intermediate").key(key);
        if names.is_empty() {
            spec
        } else {
            bearing(spec, names)
        }
    };
    let (key, permitted) = (&new_key(P256), dns("permitted.example.com"));
    let (discarded, trusted) = (root("Root").self_signed(), root("Root").self_signed());
    let limiting = narrow(intermediate("A"), from_ref(&permitted), &[forbidden()]);
    let limiting = limiting.signed_by(&trusted);
    let astray = twin(key, &[forbidden()]).signed_by(&discarded);
    let right = twin(key, &[]).signed_by(&limiting);
    let holder = bearing(leaf("permitted.example.com"), &[permitted]).signed_by(&astray);
    let (a, b) = (root("Root").self_signed(), root("Root").self_signed());
    let forbidding = narrow(intermediate("A"), &[], &[forbidden()]).signed_by(&a);
    let bad_way = twin(key, &[forbidden()]).signed_by(&forbidding);
    let good_way = twin(key, &[dns("unconstrained-ica.example.com")]).signed_by(&b);
    let other = leaf("unconstrained.example.com").names(&["unconstrained.example.com"]);
    let other = other.signed_by(&bad_way);
    vec![
        good(
            "rfc5280::nc::nc-forbids-alternate-chain-ica",
            &trusted,
            holder.with(&[&limiting.x509, &astray.x509, &right.x509]),
        ),
        good(
            "rfc5280::nc::nc-forbids-same-chain-ica",
            &a,
            other.with(&[&forbidding.x509, &bad_way.x509, &good_way.x509]),
        )
        .trusting(&b),
    ]
}
