//! Tests of letters.

use serde_json::{Value, json};

use super::template::{BUILT_IN, names};
use super::*;
use crate::operation::Output;

/// What is known of a client that has not moved, but for what `other` says.
fn facts(other: Value) -> Facts {
    let mut facts = json!({
        "client_id": "acme",
        "to": ["ops@acme.example", "it@acme.example"],
        "description": null,
        "tags": [],
        "is_disabled": false,
        "stage": "cert-only",
        "by_certificate": "2026-11-20T10:00:00Z",
        "by_key": null,
        "certificates": [{
            "fingerprint": "0".repeat(64),
            "subject": "CN=acme,O=Acme",
            "issuer": "CN=Clients",
            "serial": "2a",
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2026-12-24T12:00:00Z",
            "has_ended": false,
            "last_used": "2026-11-20T10:00:00Z",
        }],
        "certificates_end": "2026-12-24T12:00:00Z",
        "keys": [],
        "can_claim": true,
        "phase": "accept",
        "phase_since": null,
        "announced_at": null,
        "sunset": null,
        "guide": null,
        "brownout": null,
        "url": "https://api.example.com",
        "self_service": "https://api.example.com/.well-known/keyferry/",
        "now": "2026-11-23T14:44:00Z",
    });
    let Value::Object(other) = other else {
        panic!("{other}");
    };
    for (name, value) in other {
        assert!(facts.get(&name).is_some(), "{name}");
        facts[&name] = value;
    }
    serde_json::from_value(facts).unwrap()
}

fn template(source: &str) -> Result<Template, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("move.txt");
    std::fs::write(&file, source).unwrap();
    Template::read(&file)
}

/// What the letter by this template is, or why there is none; without the folder of the template.
fn written(source: &str, other: Value) -> Result<String, String> {
    let text = template(source).and_then(|template| template.render(&facts(other)));
    text.map_err(|failure| {
        assert!(matches!(failure, Failure::Data(_)), "{failure}");
        let said = failure.to_string();
        said.rsplit_once("move.txt").unwrap().1.to_owned()
    })
}

/// The built-in letter, which is well formed whatever it says.
fn built_in(other: Value) -> String {
    let text = Template::built_in().unwrap().render(&facts(other)).unwrap();
    assert!(!text.contains("\n\n\n"), "{text}");
    assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
    assert!(
        text.starts_with("Hello,\n\n") && text.ends_with('\n'),
        "{text}"
    );
    text
}

#[track_caller]
fn says(text: &str, sentences: &[&str]) {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in sentences {
        assert!(flat.contains(sentence), "{sentence:?} is not in:\n{text}");
    }
}

#[track_caller]
fn does_not_say(text: &str, sentences: &[&str]) {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in sentences {
        assert!(!flat.contains(sentence), "{sentence:?} is in:\n{text}");
    }
}

/// Without the ends of its lines.
const CLAIM: &str = "curl --cert client.pem --key client.key -X POST \\ \
                     -H \"Idempotency-Key: $(openssl rand -hex 16)\" \\ \
                     https://api.example.com/.well-known/keyferry/key";

#[test]
fn whoever_has_no_key_is_told_how_to_get_one() {
    for stage in ["registered", "cert-only"] {
        let text = built_in(json!({ "stage": stage }));
        says(
            &text,
            &[
                "this client has no API key yet",
                "How to get the key",
                CLAIM,
                "- CN=acme,O=Acme, serial number 2a: good until 24 December 2026",
            ],
        );
        does_not_say(&text, &["switched off", "none", "Its API keys"]);
    }
    let ended = json!([{
        "fingerprint": "0".repeat(64), "subject": "CN=acme", "issuer": null, "serial": null,
        "not_before": null, "not_after": "2026-11-01T00:00:00Z", "has_ended": true, "last_used": null,
    }]);
    let text = built_in(json!({ "certificates": ended, "can_claim": false }));
    says(
        &text,
        &[
            "ended on 1 November 2026",
            "none of its certificates may do that now. Please answer this letter",
        ],
    );
    does_not_say(&text, &["-X POST"]);
}

#[test]
fn each_stage_has_its_own_letter() {
    let with = |stage: &str, last_used: Option<&str>| {
        let key = json!({
            "key_id": "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f",
            "issued_at": "2026-11-02T08:00:00Z",
            "expires_at": "2027-11-02T08:00:00Z",
            "last_used": last_used,
        });
        let by_key = (stage != "key-issued").then_some("2026-11-19T09:00:00Z");
        json!({ "stage": stage, "by_key": by_key, "keys": [key], "can_claim": false })
    };
    let used = Some("2026-11-19T09:00:00Z");
    let issued = built_in(with("key-issued", None));
    says(
        &issued,
        &[
            "an API key, which it has not used yet",
            "key id 0197f3c2a1b27c3d8e4f5a6b7c8d9e0f, issued on 2 November 2026, good until 2 November 2027",
            "If nobody at yours has it",
            "Authorization: Bearer YOUR_KEY",
        ],
    );
    let dual = built_in(with("dual", used));
    says(&dual, &["last on 20 November 2026, 10:00 UTC"]);
    does_not_say(&dual, &["has not used yet"]);
    let moved = built_in(with("key-only", used));
    says(&moved, &["there is nothing left to do"]);
    does_not_say(&moved, &["YOUR_KEY", "answer this letter"]);
    // What a key was used for is no key.
    for stage in ["key-only", "dual"] {
        let lost = json!({ "stage": stage, "by_key": "2026-11-19T09:00:00Z" });
        let lost = built_in(lost);
        says(
            &lost,
            &[
                "called with an API key, last on 19 November 2026, 09:00 UTC, which is accepted no longer",
                "How to get the key",
                CLAIM,
                "YOUR_KEY",
            ],
        );
        does_not_say(&lost, &["Thank you", "nothing left to do"]);
    }
    // Nor is another one, which was never used.
    for stage in ["key-only", "dual"] {
        let replaced = built_in(with(stage, None));
        says(
            &replaced,
            &[
                "accepted no longer. It has another one, which it has not used yet",
                "YOUR_KEY",
            ],
        );
        does_not_say(&replaced, &["Thank you", "nothing left to do"]);
    }
    let off = json!({ "stage": "retired", "is_disabled": true, "can_claim": false });
    let off = built_in(off);
    says(&off, &["This client is switched off"]);
    does_not_say(&off, &["YOUR_KEY", "get one and use it", "good until"]);
}

/// RFC 5280 section 4.1.2.5: as much as for ever.
#[test]
fn a_certificate_without_an_end_stops_no_letter() {
    let end = crate::clock::Timestamp::from_unix(253_402_300_799).to_string();
    let mut certificate = json!(facts(json!({})).certificates[0]);
    certificate["not_after"] = json!(end);
    let text = built_in(json!({ "certificates": [certificate], "certificates_end": end }));
    says(&text, &["good until 31 December 9999"]);
}

#[test]
fn what_was_decided_is_told() {
    let sunset = |sunset: &str| json!({ "phase": "announce", "announced_at": "2026-11-01T00:00:00Z", "sunset": sunset });
    says(
        &built_in(sunset("2027-06-30T00:00:00Z")),
        &["On 30 June 2027 certificates are switched off"],
    );
    says(
        &built_in(sunset("2026-11-23T00:00:00Z")),
        &["were to be switched off on 23 November 2026"],
    );
    let announced = json!({ "phase": "announce", "announced_at": "2026-11-01T00:00:00Z" });
    says(&built_in(announced), &["is not decided yet"]);
    let retired = json!({ "phase": "retired", "phase_since": "2026-11-01T06:00:00Z" });
    says(
        &built_in(retired),
        &["are refused since 1 November 2026, 06:00 UTC"],
    );
    let brownout = |next: &str| {
        built_in(json!({
            "phase": "brownout",
            "sunset": "2027-06-30T00:00:00Z",
            "guide": "https://docs.example.com/move",
            "description": "the till of Acme",
            "brownout": { "next": next, "ends": null, "schedule": "Tue 10:00-11:00 (Europe/Berlin)" },
        }))
    };
    says(
        &brownout("2026-11-24T09:00:00Z"),
        &[
            "Tue 10:00-11:00 (Europe/Berlin). The next time begins on 24 November 2026, 09:00 UTC.",
            "More about the move: https://docs.example.com/move",
            "\"acme\" (the till of Acme).",
        ],
    );
    says(
        &brownout("2026-11-23T14:44:00Z"),
        &["Until then, requests by certificate", "begins now."],
    );
}

#[test]
fn a_template_of_ones_own_uses_what_is_known() {
    let source = "To: {{ to | join(\", \") }}\n\
                  {% for one in certificates %}\n{{ one.subject }} ends {{ one.not_after | day }}\n{% endfor %}\n\
                  {% if sunset %}\nuntil {{ sunset | time }}\n{% endif %}";
    let expected = "To: ops@acme.example, it@acme.example\nCN=acme,O=Acme ends 24 December 2026\n";
    assert_eq!(written(source, json!({})).unwrap(), expected);
    // What a client is called is text, whatever it looks like.
    let other = json!({ "description": "{{ to }} <b>" });
    assert_eq!(
        written("{{ description }}", other).unwrap(),
        "{{ to }} <b>\n"
    );
}

#[test]
fn what_is_wrong_with_a_template_is_told_with_its_line() {
    let said = |source: &str| written(source, json!({})).unwrap_err();
    // Also where this letter would not come by.
    let mistyped = said("Dear sunst,\n{% if sunset %}\n{{ sunst | day }}\n{% endif %}");
    assert!(
        mistyped.starts_with(": line 3: there is no sunst; the names there are: "),
        "{mistyped}"
    );
    assert!(mistyped.contains("sunset, tags, to, url"), "{mistyped}");
    // Where it stands twice, no line is guessed.
    for source in [
        "{# {{ sunst }} #}\n{{ sunst }}",
        "{{ to }} sunst\n{{ sunst }}",
    ] {
        let told = said(source);
        assert!(told.starts_with(": there is no sunst; "), "{told}");
    }
    for (source, line, words) in [
        ("\n{{ to", 2, "syntax error"),
        ("{% if to %}\n", 1, "syntax error"),
        ("a\n{{ to | nosuch }}", 2, "nosuch"),
        ("a\nb\n{{ certificates[0].subjct }}", 3, "docs/LETTERS.md"),
        ("{{ sunset | day }}", 1, "ask first whether there is one"),
        ("{{ client_id | day }}", 1, "acme is no moment"),
        ("{% include \"/etc/passwd\" %}", 1, "include"),
    ] {
        let said = said(source);
        assert!(
            said.starts_with(&format!(": line {line}: ")),
            "{source:?}: {said}"
        );
        assert!(said.contains(words), "{source:?}: {said}");
    }
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    assert!(said(endless).contains("does not come to an end"));
    assert!(said(" \n").contains("nothing is in it"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template");
    assert!(matches!(Template::read(&file), Err(Failure::Usage(_))));
    std::fs::write(&file, [0xff]).unwrap();
    assert!(matches!(Template::read(&file), Err(Failure::Data(_))));
    std::fs::write(&file, vec![b'a'; (32 << 10) + 1]).unwrap();
    assert!(matches!(Template::read(&file), Err(Failure::Data(_))));
}

#[test]
fn every_name_is_documented_and_the_built_in_letter_is_in_the_documents() {
    let documents = include_str!("../../../docs/LETTERS.md");
    for name in names() {
        assert!(documents.contains(&format!("| `{name}` |")), "{name}");
    }
    assert!(documents.contains(BUILT_IN.trim_end()));
}

#[test]
fn a_letter_alone_is_as_it_is_and_several_are_told_apart() {
    let letter = |id: &str, to: Value| Letter {
        facts: facts(json!({ "client_id": id, "to": to })),
        text: "Hello\n".to_owned(),
        file: None,
    };
    let acme = letter("acme", json!(["a@acme.example", "b@acme.example"]));
    let one = Report::of(vec![acme.clone()], None);
    assert_eq!(one.in_turn(), "Hello\n");
    assert!(one.without_contact.is_empty());
    let two = Report::of(vec![acme, letter("globex", json!([]))], None);
    assert_eq!(
        two.in_turn(),
        "===== acme <a@acme.example, b@acme.example> =====\n\nHello\n\n===== globex <> =====\n\nHello\n"
    );
    assert_eq!(two.without_contact, ["globex".parse().unwrap()]);
    let mut out = Out::new(Output::Text);
    out.hold();
    two.note(&mut out);
    let told = format!("{:?}", out.told());
    assert!(
        told.contains("1 client(s)") && told.contains(": globex"),
        "{told}"
    );
}
