//! What is sent is what is asked, and nothing else.

use super::*;

fn asked(words: &str, given: &str) -> Result<String, String> {
    let given: Map<String, Value> = serde_json::from_str(given).unwrap();
    let operation = read(words.split('/'), &given);
    { operation.map(|operation| format!("{operation:?}")) }.map_err(|wrong| wrong.to_string())
}

#[test]
fn what_is_sent_is_read_as_the_command_would() {
    let told = asked(
        "client/list",
        r#"{"stage":"cert-only","cohort":"mobile,!beta"}"#,
    )
    .unwrap();
    assert!(told.contains("stage: Some(\"cert-only\")"), "{told}");
    let told = asked("client/disable", r#"{"ids":["a","b"],"dry_run":true}"#).unwrap();
    assert!(told.contains("dry_run: true"), "{told}");
    let wrong = asked("client/list", r#"{"stage":"gone"}"#).unwrap_err();
    assert!(wrong.starts_with("invalid value 'gone'"), "{wrong}");
    assert!(asked("client/show", "{}").is_err());
    assert!(asked("client/show", r#"{"id":"a","id2":"b"}"#).is_err());
    assert!(asked("client/disable", r#"{"ids":"a","dry_run":"yes"}"#).is_err());
}

#[test]
fn no_value_is_taken_for_an_option_or_a_word() {
    for hostile in ["--dry-run", "-c", "-h", "--help", "--reason=b", "--"] {
        let given = serde_json::json!({ "ids": ["a", hostile] });
        let told = read(["client", "disable"], given.as_object().unwrap());
        let told = told.map(|operation| format!("{operation:?}"));
        // A name may be made of dashes: it stays one.
        let is_name = hostile.parse::<crate::client::ClientId>().is_ok();
        assert_eq!(told.is_ok(), is_name, "{hostile:?}: {told:?}");
        let is_dry = told.is_ok_and(|told| told.contains("dry_run: true"));
        assert!(!is_dry, "{hostile:?}");
        let given = serde_json::json!({ "ids": ["a"], "reason": hostile });
        let told = read(["client", "disable"], given.as_object().unwrap());
        let told = format!("{:?}", told.expect("a reason may be any text"));
        assert!(
            told.contains("dry_run: false") && told.contains(hostile),
            "{told}"
        );
    }
    for hostile in ["", "\u{0}", "a b"] {
        let given = serde_json::json!({ "ids": ["a", hostile] });
        let told = read(["client", "disable"], given.as_object().unwrap());
        assert!(told.is_err(), "{hostile:?}");
    }
    for words in [
        &["client", "--help"][..],
        &["store", "backup"],
        &["run"],
        &[],
    ] {
        assert!(
            read(words.iter().copied(), &Map::new()).is_err(),
            "{words:?}"
        );
    }
}

#[test]
fn what_has_no_name_on_a_command_line_goes_to_its_place() {
    let told = asked("webhook/retry", r#"{"id":"one","webhook":"hook"}"#).unwrap();
    assert!(told.contains(r#"webhook: "hook""#), "{told}");
    assert!(told.contains(r#"id: Some("one")"#), "{told}");
    let wrong = asked("webhook/forget", r#"{"id":"one"}"#);
    assert_eq!(wrong, Err("webhook is missing".to_owned()));
}

#[test]
fn nobody_elsewhere_names_a_folder_of_this_machine() {
    let of = |name: &str| parameters(name.split('/')).into_iter().map(|one| one.name);
    assert!(!of("key/issue").any(|name| name == "out" || name == "certificates"));
    let given = serde_json::json!({ "certificates": "/etc", "seal": true, "out": "/tmp" });
    assert!(read(["key", "issue"], given.as_object().unwrap()).is_err());
    // What a file holds is sent, and nothing else is a path.
    let mut contents = Vec::new();
    for offered in crate::operation::OFFERED {
        let command = command(offered.words());
        for arg in command.get_arguments() {
            let is_path = ["FILE", "DIR"].iter().any(|kind| {
                let kinds = arg.get_value_names().unwrap_or_default();
                kinds.iter().any(|name| name.contains(kind))
            });
            if is_path && is_for_others(arg) {
                assert_eq!(
                    arg.get_value_hint(),
                    ValueHint::FilePath,
                    "{}",
                    offered.name
                );
                contents.push(format!("{} {}", offered.name, arg.get_id()));
            }
        }
    }
    let known = [
        "certificate/add certificates",
        "certificate/announce certificate",
        "key/issue certificate",
    ];
    assert_eq!(contents, known);
}
