//! What makes the commands at home in a shell: completions and manual pages.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyferry");

/// What a shell would offer after these words, the last of which is being typed.
fn offered(words: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
        set -u
        eval "$("$PROGRAM" completions bash)"
        COMP_WORDS=(keyferry "$@")
        COMP_CWORD=$#
        _keyferry keyferry "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["-c", ASK, "bash"]).args(words);
    let asked = bash.env("PROGRAM", PROGRAM).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    let offered = String::from_utf8(asked.stdout).unwrap();
    offered.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_shell_completes_commands_options_and_values() {
    assert_eq!(offered(&["cert"]), ["certificate"]);
    assert_eq!(offered(&["client", "sh"]), ["show"]);
    assert_eq!(offered(&["status", "--output", ""]), ["text", "json"]);
    assert!(offered(&["key", "issue", "--"]).contains(&"--client".to_owned()));
}

#[test]
fn every_shell_has_a_script_and_an_unknown_one_is_named() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let told = Command::new(PROGRAM).args(["completions", shell]).output();
        let told = told.unwrap();
        let script = String::from_utf8(told.stdout).unwrap();
        assert!(
            told.status.success() && script.contains("what-if"),
            "{shell}"
        );
    }
    let told = Command::new(PROGRAM).args(["completions", "csh"]).output();
    assert_eq!(told.unwrap().status.code(), Some(64));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = TempDir::new().unwrap();
    let man = folder.path().join("man1");
    let told = Command::new(PROGRAM).arg("man").arg(&man).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let page = |name: &str| fs::read_to_string(man.join(name)).unwrap();
    assert!(page("keyferry.1").contains("keyferry\\-certificate(1)"));
    let add = page("keyferry-certificate-add.1");
    assert!(add.contains(".TH") && add.contains("\\-\\-sha1"), "{add}");

    // A folder in the place of which a file stands.
    let told = Command::new(PROGRAM)
        .arg("man")
        .arg(man.join("keyferry.1"))
        .output();
    let told = told.unwrap();
    assert_eq!(told.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&told.stderr).contains("cannot be written into"));
}
