//! What makes the commands at home in a shell: completions and manual pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::world::World;

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

/// What these words print on a terminal of util-linux's script(1), with `before` set in the shell.
fn on_a_terminal(before: &str, config: &Path, words: &str) -> String {
    let typed = format!("{before}; '{PROGRAM}' -c '{}' {words}", config.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &typed, "/dev/null"]);
    script.env_remove("NO_COLOR").env("TERM", "xterm-256color");
    let printed = script.output().expect("script of bsdutils");
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn colours_are_for_a_terminal_whose_user_wants_them() {
    const ESCAPE: char = '\u{1b}';
    let (world, backend) = (World::new(), Backend::start());
    let setup = Gateway::builder(&world).echo(&backend).write();
    let added = setup.cli(&["client", "add", "acme"]);
    assert!(added.status.success(), "{added:#?}");
    for (words, part) in [
        ("check", "\u{1b}[32mok"),
        ("client list", "\u{1b}[1mclient"),
        ("client show nobody", "\u{1b}[1m\u{1b}[31mkeyferry:"),
    ] {
        let coloured = on_a_terminal("true", &setup.config(), words);
        assert!(coloured.contains(part), "{words}: {coloured:?}");
        for before in ["export NO_COLOR=1", "export TERM=dumb"] {
            let plain = on_a_terminal(before, &setup.config(), words);
            assert!(!plain.contains(ESCAPE), "{before}, {words}: {plain:?}");
        }
        let piped = setup.cli(&words.split(' ').collect::<Vec<_>>());
        let piped = piped.output + &piped.errors;
        assert!(!piped.contains(ESCAPE), "{words}: {piped:?}");
    }
}

#[test]
fn a_table_fits_the_terminal_and_is_whole_elsewhere() {
    let (world, backend) = (World::new(), Backend::start());
    let setup = Gateway::builder(&world).echo(&backend).write();
    let words = "of the team that has its office behind the canteen, third floor, on the left";
    let added = setup.cli(&["client", "add", "acme", "--description", words]);
    assert!(added.status.success(), "{added:#?}");
    let columns = |text: &str| {
        text.lines()
            .map(|line| line.trim_end().chars().count())
            .max()
    };
    let before = "export NO_COLOR=1; stty cols 100";
    let narrow = on_a_terminal(before, &setup.config(), "client list");
    assert!(columns(&narrow) <= Some(100), "{narrow}");
    assert!(narrow.contains("canteen"), "{narrow}");
    let whole = setup.cli(&["client", "list"]).output;
    assert!(whole.contains(words), "{whole}");
}
