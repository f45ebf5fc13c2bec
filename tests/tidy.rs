//! The architecture's rules as tests: what may name what, how long files may be, and that the
//! documents are in step. Each rule first shows that it finds what it forbids.

#![expect(
    clippy::string_slice,
    clippy::expect_used,
    reason = "a test that stops with a message is the point"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The stages that only compute: no sockets, no files, no clock, no log.
const CORE: [&str; 17] = [
    "certificate",
    "client",
    "credential",
    "foresight",
    "framing",
    "front",
    "identity",
    "import",
    "key",
    "limit",
    "masquerade",
    "observe",
    "phase",
    "policy",
    "sign",
    "trace",
    "webhook",
];

/// Who may name whom among the stages: each one only those before it, or beside it in its group.
const ORDER: [&[&str]; 8] = [
    // The store's port knows the records, and the records say what changes are made of.
    &[
        "credential",
        "key",
        "certificate",
        "client",
        "phase",
        "store",
    ],
    &["directory", "foresight", "observe"],
    &["identity"],
    &["policy"],
    &["sign", "front", "masquerade", "webhook"],
    &["import"],
    &["door", "gateway", "upstream", "telemetry"],
    &["admin", "verify"],
];

#[test]
fn no_source_file_is_longer_than_four_hundred_lines() {
    let too_long = |text: &str| text.lines().count() > 400;
    assert!(too_long(&"\n".repeat(401)) && !too_long(&"\n".repeat(400)));
    for file in sources() {
        assert!(
            !too_long(&file.text),
            "{}: over 400 lines; split it by what its parts do",
            file.path
        );
    }
}

#[test]
fn no_function_is_longer_than_seventy_lines() {
    assert!(
        read("clippy.toml").contains("too-many-lines-threshold = 70"),
        "clippy.toml must keep too-many-lines-threshold = 70; clippy::pedantic then enforces it"
    );
    assert!(
        read("Cargo.toml").contains(r#"pedantic = { level = "warn""#),
        "Cargo.toml must keep clippy::pedantic on"
    );
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for file in sources() {
        assert!(
            file.text.starts_with("//!"),
            "{}: begin it with a `//!` sentence that says what it is for",
            file.path
        );
    }
}

#[test]
fn pingora_is_named_only_at_the_edge() {
    let named = |text: &str| code(text).any(|line| has_word_starting(line, "pingora"));
    assert!(named("use pingora_core::Error;") && !named("// as pingora does"));
    let allowed = [
        "src/door/",
        "src/gateway/",
        "src/upstream/",
        "src/telemetry/",
        "src/admin/",
        "src/server/",
        "src/tls/",
        "src/verify/",
    ];
    for file in sources().filter(|file| !file.is_under(&allowed)) {
        assert!(
            !named(&file.text),
            "{}: names pingora; only door, gateway, upstream, telemetry, admin, server, tls and verify may. \
             Give it a type of our own",
            file.path
        );
    }
}

#[test]
fn unsafe_code_is_in_one_small_file() {
    // One for each TLS library, of which a program has one.
    const FILES: [&str; 2] = ["src/tls/openssl/raw.rs", "src/tls/boringssl/raw.rs"];
    let is_unsafe = |text: &str| code(text).any(|line| has_word(line, "unsafe"));
    assert!(is_unsafe("unsafe { f() }") && !is_unsafe("// unsafe\n#![deny(unsafe_code)]"));
    assert!(
        read("Cargo.toml").contains(r#"unsafe_code = "deny""#),
        "Cargo.toml must keep unsafe_code = \"deny\""
    );
    for file in sources().filter(|file| is_unsafe(&file.text)) {
        assert!(
            FILES.contains(&file.path.as_str()),
            "{}: unsafe code is for what the bindings of the TLS library lack, and nothing else",
            file.path
        );
        let blocks = file.text.matches("unsafe {").count();
        let reasons = file.text.matches("// SAFETY: ").count();
        assert!(
            blocks <= 14 && reasons >= blocks - 1,
            "{}: {blocks} blocks of unsafe code, {reasons} reasons why they are safe",
            file.path
        );
    }
}

#[test]
fn the_databases_are_named_only_in_their_adapters() {
    let named = |text: &str, database: &str| {
        // The adapter's own module has the crate's name; whoever imports that one means it.
        let is_ours = |line: &str| line.contains("store::") && has_word(line, database);
        !production(text).any(is_ours) && production(text).any(|line| uses_crate(line, database))
    };
    assert!(
        named("use redis::Client;", "redis") && named("let x = redb::Database::open()", "redb")
    );
    assert!(!named(
        "use crate::store::redis;\nlet x: redis::Settings;",
        "redis"
    ));
    for file in sources().filter(|file| !file.path.starts_with("src/store/")) {
        for database in ["redis", "redb"] {
            assert!(
                !named(&file.text, database),
                "{}: names the crate {database}; only its adapter under src/store may. Use the \
                 trait Store",
                file.path
            );
        }
    }
}

#[test]
fn only_the_server_the_doctor_and_the_commands_read_the_configuration() {
    let imports = |text: &str| code(text).any(|line| line.contains("crate::config"));
    assert!(imports("use crate::config::Config;") && !imports("use crate::policy::Settings;"));
    for file in sources().filter(|file| {
        !file.is_under(&[
            "src/config/",
            "src/cli/",
            "src/doctor/",
            "src/operation/",
            "src/server/",
            "src/main.rs",
        ])
    }) {
        assert!(
            !imports(&file.text),
            "{}: imports config; a stage defines its own Settings, and config imports those",
            file.path
        );
    }
}

#[test]
fn a_stage_names_only_the_stages_before_it() {
    let rank = |module: &str| ORDER.iter().position(|group| group.contains(&module));
    let names_a_later_one = |module: &str, text: &str| {
        production(text)
            .flat_map(crate_modules)
            .find(|named| rank(named) > rank(module))
            .map(str::to_owned)
    };
    assert_eq!(
        names_a_later_one("key", "use crate::gateway::Problem;").as_deref(),
        Some("gateway")
    );
    assert_eq!(
        names_a_later_one("policy", "use crate::identity::Identity;"),
        None
    );
    for file in sources() {
        let module = file.module();
        if rank(module).is_none() {
            continue;
        }
        let found = names_a_later_one(module, &file.text);
        assert!(
            found.is_none(),
            "{}: {module} names {}, which comes after it; hand the value over instead \
             (docs/ARCHITECTURE.md, direction of imports)",
            file.path,
            found.unwrap_or_default()
        );
    }
}

#[test]
fn the_core_computes_and_does_nothing_else() {
    const OUTSIDE: [&str; 9] = [
        "tracing::",
        "log::",
        "tokio::",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "clock::now",
        "clock::monotonic",
    ];
    let reaches = |text: &str| {
        let mut found = OUTSIDE.iter().filter(|outside| {
            production(text).any(|line| {
                line.match_indices(**outside).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
                })
            })
        });
        found.next().copied()
    };
    assert_eq!(reaches("let now = clock::now();"), Some("clock::now"));
    assert_eq!(reaches("// clock::now()\nlet dialog::Kind = x;"), None);
    for file in sources().filter(|file| CORE.contains(&file.module())) {
        let found = reaches(&file.text);
        assert!(
            found.is_none(),
            "{}: the core may not use {}; take the value as an argument, or do it at the edge",
            file.path,
            found.unwrap_or_default()
        );
    }
}

#[test]
fn the_bans_of_clippy_are_lifted_only_where_they_are_meant_to_be() {
    let bans = read("clippy.toml");
    for banned in [
        "SystemTime::now",
        "Instant::now",
        "env::var",
        "thread::sleep",
    ] {
        assert!(
            bans.contains(banned),
            "clippy.toml must go on banning {banned}"
        );
    }
    for file in
        sources().filter(|file| !file.is_under(&["src/clock.rs", "src/config/", "src/cli/"]))
    {
        assert!(
            !production(&file.text).any(|line| line.contains("clippy::disallowed_methods")),
            "{}: only clock, config and cli may lift a ban of clippy.toml",
            file.path
        );
    }
}

#[test]
fn links_in_the_documents_lead_to_files() {
    assert_eq!(
        links("see [a](b.md#c) and [d](https://e), [f](#g)").collect::<Vec<_>>(),
        ["b.md"]
    );
    for file in files().filter(|file| file.is_a("md")) {
        let folder = root().join(&file.path);
        let folder = folder.parent().expect("a file has a folder");
        for link in links(&file.text) {
            assert!(
                folder.join(link).exists(),
                "{}: the link to {link} leads nowhere; correct it or write the page",
                file.path
            );
        }
    }
}

#[test]
fn links_into_pages_lead_to_headings() {
    assert_eq!(anchor("## `[[key.pepper]]`"), "keypepper");
    assert_eq!(anchor("### The API's own key"), "the-apis-own-key");
    let found = parts("see [a](b.md#c) and [d](#e), [f](https://g#h)");
    assert_eq!(found.collect::<Vec<_>>(), [("b.md", "c"), ("", "e")]);
    for file in files().filter(|file| file.is_a("md")) {
        let folder = Path::new(&file.path).parent().expect("a folder");
        for (page, part) in parts(&file.text) {
            let text = if page.is_empty() {
                file.text.clone()
            } else {
                read(&folder.join(page).to_string_lossy())
            };
            let headings = text.lines().filter(|line| line.starts_with('#'));
            assert!(
                headings.map(anchor).any(|heading| heading == part),
                "{}: {page}#{part} leads to no heading; correct it",
                file.path
            );
        }
    }
}

/// docs/ARCHITECTURE.md names the tests that keep each invariant; a test that was renamed or deleted
/// would leave an invariant that nobody keeps.
#[test]
fn the_invariants_and_the_threat_model_name_tests_that_exist() {
    let architecture = read("docs/ARCHITECTURE.md");
    let (_, table) = architecture.split_once("## Invariants").expect("a section");
    let (table, _) = table.split_once("\n## ").expect("a section after it");
    let invariants = table.lines().filter_map(|line| line.split('|').nth(2));
    let threats = read("docs/THREAT_MODEL.md");
    let threats = threats.lines().filter_map(|line| line.split('|').nth(3));
    let named: Vec<_> = invariants
        .chain(threats)
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| name.chars().all(is_word) && name.contains('_'))
        .filter(|name| !["compile_fail", "verify_slice"].contains(name))
        .collect();
    assert!(named.len() > 200, "the tables were not read: {named:?}");
    let all: String = files()
        .filter(|file| file.is_a("rs"))
        .map(|file| file.text)
        .collect();
    for name in named {
        assert!(
            all.contains(&format!("fn {name}(")),
            "there is no test {name}; name the one that keeps the invariant or shows the defence"
        );
    }
}

#[test]
fn the_threat_model_has_every_case() {
    let page = read("docs/THREAT_MODEL.md");
    let cases = [
        ('V', 24),
        ('R', 19),
        ('H', 14),
        ('S', 12),
        ('K', 17),
        ('C', 12),
        ('P', 7),
        ('O', 14),
    ];
    for (group, last) in cases {
        for number in 1..=last {
            let row = format!("\n| {group}{number} | ");
            assert_eq!(page.matches(&row).count(), 1, "{group}{number}");
        }
    }
}

/// Each row of the table of faults is a test of the same name.
#[test]
fn the_table_of_faults_has_the_row_of_every_test() {
    let page = read("docs/RELIABILITY.md");
    let (_, table) = page.split_once("\n| Fault |").expect("a table");
    let table = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| "));
    let mut rows: Vec<_> = table
        .filter_map(|line| line.split(" |").next().map(str::to_owned))
        .collect();
    let mut tests = Vec::new();
    for file in files().filter(|file| file.path.starts_with("tests/faults/")) {
        // The proxy's own tests are no faults, and all at once is no row.
        if file.path.ends_with("/proxy.rs") || file.path.ends_with("/soak.rs") {
            continue;
        }
        for test in file.text.split("#[test]\nfn ").skip(1) {
            let (name, _) = test.split_once('(').expect("a function");
            let fault = name.replace('_', " ");
            assert!(
                file.text.contains(&format!("\"{fault}\"")),
                "{}: the row of {name} has another name",
                file.path
            );
            tests.push(fault);
        }
    }
    rows.sort_unstable();
    tests.sort_unstable();
    assert!(tests.len() > 20, "the tests were not read: {tests:?}");
    assert_eq!(
        rows, tests,
        "docs/RELIABILITY.md: the table of faults and the tests of tests/faults differ; run `make \
         faults` and paste what it prints"
    );
}

#[test]
fn the_changelog_has_an_entry_for_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("CHANGELOG.md")
            .lines()
            .any(|line| line.starts_with(&format!("## {version}"))),
        "CHANGELOG.md: add a section for {version}"
    );
}

#[test]
fn the_loads_of_the_comparison_are_in_its_document() {
    let page = read("docs/PERFORMANCE.md");
    let loads = read("benches/compare/workloads.py");
    let names: Vec<_> = loads
        .lines()
        .filter_map(|line| line.strip_prefix("    \"")?.split_once("\": Workload("))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 3, "workloads.py is read wrong: {names:?}");
    for name in names {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/PERFORMANCE.md says nothing of the load {name}"
        );
    }
}

#[test]
fn work_left_over_names_its_issue_and_an_ignored_test_its_reason() {
    // Written in two parts, so that this file does not find itself.
    let left_over = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let ignored = concat!("#[", "ignore]");
    let unexplained = |line: &str| {
        let marked = left_over
            .iter()
            .any(|mark| has_word(line, mark) && !line.contains(&format!("{mark}(#")));
        marked || line.contains(ignored)
    };
    assert!(unexplained(&format!("// {}: later", left_over[0])) && unexplained(ignored));
    assert!(!unexplained(&format!("// {}(#12): later", left_over[0])));
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            assert!(
                !unexplained(line),
                "{}:{}: do it now, or name the issue: {}(#n); an ignored test says why",
                file.path,
                number + 1,
                left_over[0]
            );
        }
    }
}

#[test]
fn no_file_names_a_place_outside_the_project() {
    let outside = [
        concat!("/wo", "rk/"),
        concat!(".lib", "rary"),
        concat!("/ho", "me/"),
    ];
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            let found = outside.iter().find(|place| line.contains(**place));
            assert!(
                found.is_none(),
                "{}:{}: names {}, which is nobody else's path; leave it out",
                file.path,
                number + 1,
                found.copied().unwrap_or_default()
            );
        }
    }
}

struct SourceFile {
    /// Relative to the project, with `/`.
    path: String,
    text: String,
}

impl SourceFile {
    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    fn is_a(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The top module: `key` for `src/key/format.rs`.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or_default();
        inside.split(['/', '.']).next().unwrap_or_default()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The project's text files; what is not text has no rules.
fn files() -> impl Iterator<Item = SourceFile> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(!found.is_empty(), "no files under {}", root().display());
    found.into_iter()
}

fn sources() -> impl Iterator<Item = SourceFile> {
    files().filter(|file| file.path.starts_with("src/") && file.is_a("rs"))
}

fn walk(folder: &Path, found: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "node_modules" {
                walk(&path, found);
            }
        } else if let Ok(text) = fs::read_to_string(&path)
            && name != ".git"
        {
            let inside = path
                .strip_prefix(root())
                .expect("a path inside the project");
            found.push(SourceFile {
                path: inside.to_string_lossy().into_owned(),
                text,
            });
        }
    }
}

/// The lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
}

/// The code before the file's own tests.
fn production(text: &str) -> impl Iterator<Item = &str> {
    code(text).take_while(|line| *line != "#[cfg(test)]")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn has_word_starting(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word))
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, found)| {
        let after = line[at..].strip_prefix(found).unwrap_or_default();
        !line[..at].ends_with(is_word) && !after.starts_with(is_word)
    })
}

/// Whether the line uses the crate `name` itself, and not a module of that name.
fn uses_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path)
        .any(|(at, _)| !line[..at].ends_with(is_word) && !line[..at].ends_with("::"))
}

/// The top modules that the line names by `crate::module`.
fn crate_modules(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Under which name a page's heading is found: what stands in it without marks, in lower case.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| is_word(*c) || " -".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The page and the part of it to which each link leads that names a part.
fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("](").skip(1).filter_map(|rest| {
        let (target, _) = rest.split_once(')')?;
        let target = target.split_once('#')?;
        (!target.0.contains(':')).then_some(target)
    })
}

/// The targets of a page's links that are files of the project.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '#']).next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}
