//! What makes the commands at home in a shell: completions and manual pages.

use std::fs;
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

#[test]
fn colours_are_for_a_terminal_whose_user_wants_them() {
    const ESCAPE: char = '\u{1b}';
    let (world, backend) = (World::new(), Backend::start());
    let with = |name, value| {
        let setup = Gateway::builder(&world).echo(&backend);
        let setup = setup.environment(name, value).write();
        setup.cli(&["client", "add", "acme"]).expect_success();
        setup
    };
    let coloured = with("TERM", "xterm-256color");
    let (plain, dumb) = (with("NO_COLOR", "1"), with("TERM", "dumb"));
    for (words, part) in [
        (["check"].as_slice(), "\u{1b}[32mok"),
        (&["client", "list"], "\u{1b}[1mclient"),
    ] {
        let seen = coloured.cli_at_terminal(words);
        assert!(seen.contains(part), "{seen:?}");
        for setup in [&plain, &dumb] {
            let seen = setup.cli_at_terminal(words);
            assert!(!seen.contains(ESCAPE), "{seen:?}");
        }
        let piped = coloured.cli(words);
        assert!(!piped.output.contains(ESCAPE), "{piped:#?}");
    }
}

#[test]
fn a_table_fits_the_terminal_and_is_whole_elsewhere() {
    let (world, backend) = (World::new(), Backend::start());
    let setup = Gateway::builder(&world)
        .echo(&backend)
        .environment("NO_COLOR", "1")
        .write();
    let words = "of the team that has its office behind the canteen, third floor, on the left";
    setup
        .cli(&["client", "add", "acme", "--description", words])
        .expect_success();
    let narrow = setup.cli_at_terminal(&["client", "list"]);
    let columns = narrow.lines().map(|line| line.trim_end().chars().count());
    assert!(columns.max() <= Some(100), "{narrow}");
    assert!(narrow.contains("canteen"), "{narrow}");
    let whole = setup.cli(&["client", "list"]).output;
    assert!(whole.contains(words), "{whole}");
}

/// Each command that takes long with many clients says at a terminal how far it is, and nowhere else.
#[test]
fn long_commands_show_a_bar_at_a_terminal_and_nowhere_else() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world).echo(&backend).start();
    gateway.cli(&["client", "add", "alice"]).expect_success();
    let [one, other] = ["1", "2"].map(|end| {
        let file = |name: &str| world.path(&format!("{name}{end}")).display().to_string();
        let digest = |n: u8| format!("{n}{end}").repeat(32);
        fs::write(file("clients"), format!("{} client{end}\n", digest(3))).unwrap();
        let (backup, export, clients) = (file("backup"), file("export"), file("clients"));
        let add = ["certificate", "add", "--client", "alice"].map(str::to_owned);
        let add = [&add[..], &[digest(4), digest(5)]].concat();
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        [
            (words("audit verify"), "reading changes"),
            (
                words(&format!("audit export --file {export}")),
                "reading changes",
            ),
            (words(&format!("store backup {backup}")), "writing"),
            (words(&format!("store restore {backup}")), "restoring"),
            (words("store status"), "records"),
            (words(&format!("import haproxy-map {clients}")), "reading"),
            (add, "certificates"),
        ]
    });
    for ((command, bar), (again, _)) in one.iter().zip(&other) {
        let [command, again] =
            [command, again].map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
        let told = gateway.cli(&command).expect_success();
        assert!(!told.errors.contains(bar), "{told:?}");
        let seen = gateway.setup().cli_at_terminal(&again);
        // It is drawn, and then the line is emptied.
        let is_drawn = seen.starts_with(&format!("{bar} "));
        assert!(
            is_drawn && seen.contains("\r\u{1b}[2K"),
            "{again:?}: {seen:?}"
        );
    }
}
