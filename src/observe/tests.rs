//! What is recorded, and what the report makes of it.

use super::*;
use crate::key::Format;

const HEADER: HeaderName = HeaderName::from_static("x-client-id");

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(second)
}

fn text(value: &str) -> HeaderText {
    let headers = [(HEADER, value.parse().unwrap())].into_iter().collect();
    HeaderText::read(&headers, &HEADER, &Format::new("kf", "live").unwrap()).unwrap()
}

fn know(client: &str) -> Would {
    Would::Know(client.parse().unwrap())
}

fn refuse(reason: &'static str) -> Would {
    Would::Refuse {
        reason,
        who: Who::default(),
    }
}

fn observation(would: Would, told: Option<&str>, second: i64) -> Observation {
    Observation {
        would,
        told: told.map(text),
        address: "10.0.0.5".parse().unwrap(),
        at: at(second),
    }
}

fn observed(list: Vec<(Would, Option<&str>)>) -> Snapshot {
    let observations = Observations::begin(at(0), Some(HEADER));
    for (second, (would, told)) in (0..).zip(list) {
        observations.note(observation(would, told, second));
    }
    observations.snapshot()
}

#[test]
fn a_kind_of_refusal_is_one_row_with_its_count_and_its_times() {
    let snapshot = observed(vec![
        (refuse("certificate_expired"), None),
        (refuse("client_unregistered"), None),
        (refuse("certificate_expired"), None),
    ]);
    assert_eq!(snapshot.requests, 3);
    let report = Report::of(snapshot);
    let first = &report.refusals[0];
    assert_eq!(first.reason, "certificate_expired");
    assert_eq!(first.seen.count, 2);
    assert_eq!((first.seen.first, first.seen.last), (at(0), at(2)));
    assert_eq!(report.refusals.len(), 2);
    assert!(report.named_but_refused.is_empty() && !report.is_clean());
}

#[test]
fn names_may_differ_as_long_as_each_stands_for_one_client() {
    let report = Report::of(observed(vec![
        (know("acme"), Some("CN=Acme")),
        (know("acme"), Some("CN=Acme")),
        (know("bolt"), Some("bolt")),
        (Would::AskNobody, Some("CN=Acme")),
    ]));
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.agreed_pairs, report.agreed_requests), (2, 3));
}

#[test]
fn every_difference_is_told_apart() {
    let report = Report::of(observed(vec![
        (refuse("certificate_untrusted"), Some("acme")),
        (know("quiet"), None),
        (know("one"), Some("shared")),
        (know("two"), Some("shared")),
        (know("twice"), Some("a")),
        (know("twice"), Some("b")),
        (know("fine"), Some("fine")),
    ]));
    let refused = &report.named_but_refused[0];
    assert_eq!(refused.value, Some(text("acme")));
    assert_eq!(refused.reason.as_deref(), Some("certificate_untrusted"));
    assert_eq!(report.named_but_refused.len(), 1);
    assert_eq!(report.known_but_unnamed.len(), 1);
    assert_eq!(
        report.shared_values,
        [Shared {
            value: text("shared"),
            client_ids: ["one", "two"].map(|id| id.parse().unwrap()).to_vec(),
        }]
    );
    assert_eq!(
        report.split_clients,
        [Split {
            client_id: "twice".parse().unwrap(),
            values: ["a", "b"].map(text).to_vec(),
        }]
    );
    assert_eq!((report.agreed_pairs, report.agreed_requests), (1, 1));
    assert!(!report.is_clean());
}

#[test]
fn without_a_header_to_compare_only_refusals_differ() {
    for (header, differing) in [(None, 0), (Some(HEADER), 1)] {
        let observations = Observations::begin(at(0), header);
        observations.note(observation(know("acme"), None, 0));
        let report = Report::of(observations.snapshot());
        assert_eq!(report.known_but_unnamed.len(), differing);
        assert_eq!(report.is_clean(), differing == 0);
    }
}

#[test]
fn what_does_not_fit_is_counted_and_known_rows_go_on() {
    let observations = Observations::bounded(at(0), Some(HEADER), 2);
    for told in ["a", "b", "c", "d", "a"] {
        observations.note(observation(know("acme"), Some(told), 0));
    }
    let snapshot = observations.snapshot();
    assert_eq!((snapshot.identities.len(), snapshot.left_out), (2, 2));
    let a = snapshot
        .identities
        .iter()
        .find(|row| row.value == Some(text("a")));
    assert_eq!(a.unwrap().seen.count, 2);
}

#[test]
fn a_snapshot_survives_its_way_as_json() {
    let snapshot = observed(vec![
        (refuse("certificate_expired"), Some("acme")),
        (know("acme"), Some("acme")),
    ]);
    let json = serde_json::to_string(&snapshot).unwrap();
    let back: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
}
