//! What becomes of what was read.

use super::*;
use crate::certificate::{
    Alias, AliasRecord, CertificateRecord, Fingerprint, Handed, Mapping, Source,
};
use crate::client::{ClientRecord, ClientStatus};
use crate::clock::Timestamp;
use crate::import::{Format, read};
use crate::key::KeyId;
use crate::pki;
use crate::store::{Action, Actor, Epoch, Record, Write};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn fingerprint(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn sha1(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// A plan of files, each with its format.
fn plan_with(issued: Issued, files: &[(Format, &str)]) -> Plan {
    let mut plan = Plan::new(issued);
    for (file, (format, text)) in (0..).zip(files) {
        let mut sink = |line, found| plan.take(Place { file, line }, found);
        let lines = read(*format, "x.pem", NOW, &mut text.as_bytes(), &mut sink).unwrap();
        plan.count_lines(lines);
    }
    plan.close();
    plan
}

fn plan(text: &str) -> Plan {
    plan_with(Issued::new(NOW), &[(Format::HaproxyMap, text)])
}

/// The lines that are not taken over, with the words for why.
fn left_out(plan: &Plan) -> Vec<(u32, &'static str)> {
    let misread = plan.misread().iter();
    misread
        .map(|one| (one.place.line, one.why.as_str()))
        .collect()
}

/// What is written, by what does it.
fn written(plan: &Plan) -> Vec<(Action, Vec<Write>)> {
    let pieces = plan.pieces();
    let written = pieces.map(|piece| {
        assert!(piece.is_fresh());
        let writes = piece.writes(Known::default(), false, &Actor::Gateway, NOW);
        (piece.action(), writes.unwrap())
    });
    written.collect()
}

fn kinds(writes: &[Write]) -> Vec<&'static str> {
    writes
        .iter()
        .map(|write| write.record.id().kind())
        .collect()
}

#[test]
fn a_client_is_made_with_all_that_it_has_under_one_key_id() {
    let text = [
        format!("{} acme", fingerprint('a')),
        format!("{} acme", fingerprint('b')),
        format!("{} bravo", sha1('c')),
        format!("{} acme", fingerprint('a').to_uppercase()),
    ];
    let mut plan = plan(&text.join("\n"));
    plan.settle();
    assert_eq!(left_out(&plan), []);
    let expected = Counts {
        lines: 4,
        clients: 2,
        new_clients: 2,
        certificates: 2,
        by_sha1: 1,
        duplicates: 1,
        ..Counts::default()
    };
    assert_eq!(plan.counts(), expected);
    let written = written(&plan);
    let [(first, acme), (second, bravo)] = &written[..] else {
        panic!("{written:?}");
    };
    assert_eq!(*first, Action::CertificateAdded);
    assert_eq!(kinds(acme), ["client", "key", "certificate", "certificate"]);
    assert_eq!(*second, Action::CertificateAnnounced);
    assert_eq!(kinds(bravo), ["client", "alias"]);
    assert!(
        acme.iter()
            .chain(bravo)
            .all(|write| write.expected == Epoch::NONE)
    );
    let keys = acme.iter().filter_map(|write| match &write.record {
        Record::Certificate(record) => match record.mapping {
            Mapping::Mapped { key, .. } => Some(key),
            _ => None,
        },
        _ => None,
    });
    let keys: std::collections::BTreeSet<_> = keys.collect();
    assert_eq!(keys.len(), 1);
}

#[test]
fn c11_one_certificate_of_two_clients_is_neither_ones() {
    let (a, b) = (fingerprint('a'), fingerprint('b'));
    let text = format!(
        "{a} acme\n{b} bravo\n{a} bravo\n{} c\n{} d\n",
        sha1('e'),
        sha1('e')
    );
    let mut plan = plan(&text);
    plan.settle();
    let both = "two_clients";
    assert_eq!(
        left_out(&plan),
        [(1, both), (3, both), (4, both), (5, both)]
    );
    assert_eq!(plan.counts().ambiguous, 4);
    assert_eq!((plan.counts().clients, written(&plan).len()), (1, 1));
}

#[test]
fn c11_two_names_are_not_taken_for_one_client() {
    let (a, b) = (fingerprint('a'), fingerprint('b'));
    for (text, torn) in [
        (format!("{a} Acme Corp\n{b} acme/corp\n"), true),
        (format!("{a} acme-corp\n{b} Acme Corp\n"), true),
        (format!("{a} Acme Corp\n{b} Acme Corp\n"), false),
        // Who is only let in is told apart by the whole subject.
        ("/CN=acme/O=A 1\n/CN=acme/O=B 1\n".to_owned(), true),
    ] {
        let issued = two_of_one_name();
        let mut plan = plan_with(issued, &[(Format::HaproxyMap, &text)]);
        plan.settle();
        let expected = [(1, "one_id"), (2, "one_id")];
        let expected = if torn { &expected[..] } else { &[] };
        assert_eq!(left_out(&plan), expected, "{text}");
    }
}

fn two_of_one_name() -> Issued {
    let mut issued = Issued::new(NOW);
    for organisation in ["A", "B"] {
        let one = pki::leaf("acme").entry("2.5.4.10", 12, organisation.as_bytes());
        issued.take(Handed::read(&one.self_signed().pem()).unwrap());
    }
    issued
}

/// Whoever a table does not name is told apart by subject and issuer, not by the common name alone.
#[test]
fn c11_certificates_of_one_common_name_are_not_taken_for_one_client() {
    let of = |organisation: &str| {
        let one = pki::leaf("acme").entry("2.5.4.10", 12, organisation.as_bytes());
        String::from_utf8(one.self_signed().pem()).unwrap()
    };
    let (one, other) = (of("A"), of("B"));
    let of_two = format!("client,certificate\n,\"{one}\"\n,\"{other}\"\n");
    let mut plan = plan_with(Issued::new(NOW), &[(Format::Csv, &of_two)]);
    plan.settle();
    assert_eq!(plan.counts().ambiguous, 2);
    let of_one = format!("client,certificate\n,\"{one}\"\n,\"{one}\"\n");
    let mut plan = plan_with(Issued::new(NOW), &[(Format::Csv, &of_one)]);
    plan.meet(&ClientRecord::new("acme".parse().unwrap(), None, NOW).into());
    plan.settle();
    assert!(left_out(&plan).iter().all(|(_, why)| *why == "namesake"));
    assert_eq!(
        (plan.counts().ambiguous, plan.counts().certificates),
        (2, 0)
    );
    // What an import made itself goes on.
    let mut plan = plan_with(Issued::new(NOW), &[(Format::Csv, &of_one)]);
    let description = plan.planned(0).and_then(|it| it.description.as_deref());
    let description = description.map(str::to_owned);
    plan.meet(&ClientRecord::new("acme".parse().unwrap(), description, NOW).into());
    plan.settle();
    assert_eq!(left_out(&plan), []);
}

#[test]
fn more_tags_than_a_client_may_have_are_refused() {
    let kong = |tags: u32| {
        let tags: Vec<_> = (0..tags).map(|n| format!("t{n}")).collect();
        format!(
            "consumers:\n- username: acme\n  tags: [{}]\n",
            tags.join(", ")
        )
    };
    for (tags, expected) in [(32, vec![]), (33, vec![(2, "syntax")])] {
        let mut plan = plan_with(Issued::new(NOW), &[(Format::Kong, &kong(tags))]);
        plan.settle();
        assert_eq!(left_out(&plan), expected);
        assert_eq!(written(&plan).len(), usize::from(expected.is_empty()));
    }
}

#[test]
fn what_is_there_is_left_alone_and_nothing_that_ended_comes_back() {
    let marks: Vec<_> = "abcdef".chars().map(fingerprint).collect();
    let lines: Vec<_> = marks.iter().map(|mark| format!("{mark} acme\n")).collect();
    let text = lines.concat();
    let mut plan = plan(&format!(
        "{text}{} off-client\n{} acme\n",
        fingerprint('0'),
        sha1('1')
    ));
    let acme: ClientId = "acme".parse().unwrap();
    let mapped = |client: &str| Mapping::Mapped {
        client: client.parse().unwrap(),
        key: KeyId::generate(),
    };
    let superseded = Mapping::Superseded {
        client: acme.clone(),
        key: KeyId::generate(),
        at: NOW,
    };
    let mappings = [
        mapped("acme"),
        mapped("bravo"),
        superseded,
        Mapping::Removed { at: NOW },
        Mapping::Pending,
    ];
    for (mark, mapping) in marks.iter().zip(mappings) {
        let fingerprint = mark.parse::<Fingerprint>().unwrap();
        let record = CertificateRecord::new(fingerprint, mapping, Source::Operator, NOW);
        plan.meet(&record.into());
    }
    let status = ClientStatus::Disabled { at: NOW };
    let disabled = ClientRecord::new("off-client".parse().unwrap(), None, NOW);
    plan.meet(&ClientRecord { status, ..disabled }.into());
    plan.meet(&ClientRecord::new(acme.clone(), None, NOW).into());
    let alias = Alias::sha1(&sha1('1')).unwrap();
    plan.meet(
        &AliasRecord::new(alias, acme, NOW)
            .bound(Fingerprint::of(b"x"))
            .into(),
    );
    plan.settle();
    let expected = [(2, "anothers"), (3, "ended"), (4, "ended"), (7, "disabled")];
    assert_eq!(left_out(&plan), expected);
    let counts = plan.counts();
    assert_eq!(
        (counts.known, counts.certificates, counts.new_clients),
        (2, 2, 0)
    );
}

#[test]
fn a_name_that_was_made_fit_does_not_join_a_stranger() {
    let text = format!("{} Acme Corp\n", fingerprint('a'));
    for (description, expected) in [(Some("Acme Corp"), 0), (Some("another"), 1), (None, 1)] {
        let mut plan = plan(&text);
        let description = description.map(str::to_owned);
        plan.meet(&ClientRecord::new("acme-corp".parse().unwrap(), description, NOW).into());
        plan.settle();
        assert_eq!(plan.counts().ambiguous, expected);
    }
}

#[test]
fn what_a_certificate_says_is_looked_up_among_those_that_there_are() {
    let root = pki::root("root").self_signed();
    let (one, other) = (
        pki::leaf("acme").signed_by(&root),
        pki::leaf("acme").signed_by(&root),
    );
    let stranger = pki::leaf("twice").signed_by(&root);
    let twice = pki::leaf("twice").self_signed();
    let mut issued = Issued::new(Timestamp::from_unix(pki::now()));
    for certificate in [&one, &other, &stranger, &twice] {
        issued.take(Handed::read(&certificate.pem()).unwrap());
    }
    let der = one.x509.to_der().unwrap();
    let sha1 = Alias::sha1_of(&der)
        .unwrap()
        .to_string()
        .replace("sha1-", "");
    let serial = Handed::read(&stranger.pem()).unwrap().facts.unwrap().serial;
    let text = format!("/CN=acme acme\n{sha1} acme\n{serial} b\ntwice c\nnobody d\n");
    let mut plan = plan_with(issued, &[(Format::HaproxyMap, &text)]);
    plan.settle();
    assert_eq!(left_out(&plan), [(4, "several_issuers"), (5, "not_issued")]);
    let counts = plan.counts();
    assert_eq!(
        (counts.certificates, counts.by_sha1, counts.duplicates),
        (3, 0, 1)
    );
    let mut alone = self::plan("/CN=acme acme\n");
    alone.settle();
    assert_eq!(left_out(&alone), [(1, "described")]);
}

#[test]
fn a_client_of_thousands_of_certificates_is_written_in_pieces() {
    let lines: Vec<_> = (0..120).map(|n| format!("{n:064x} acme\n")).collect();
    let text = lines.concat();
    let mut plan = plan(&text);
    plan.settle();
    let pieces: Vec<_> = plan
        .pieces()
        .map(|piece| (piece.rows(), piece.goes_on()))
        .collect();
    assert_eq!(pieces, [(50, false), (50, true), (20, true)]);
}

#[test]
fn keys_of_other_gateways_are_not_taken_over() {
    let kong = "consumers:\n- username: acme\n  keyauth_credentials: [{key: k}]\n- username: b\n";
    let mut plan = plan_with(Issued::new(NOW), &[(Format::Kong, kong)]);
    plan.settle();
    assert_eq!(
        (plan.counts().new_clients, plan.counts().keys_to_issue),
        (2, 1)
    );
    assert!(plan.without_key().map(ClientId::as_str).eq(["acme"]));
    for (action, writes) in written(&plan) {
        assert_eq!(
            (action, kinds(&writes)),
            (Action::ClientAdded, vec!["client"])
        );
    }
}
