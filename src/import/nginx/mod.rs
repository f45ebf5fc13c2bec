//! nginx: the `map` blocks of a configuration, or a file that one of them includes.
//!
//! A block counts when its source is something of the client's certificate; in a file that holds no
//! block, keys are told by their shape.

mod statement;

use std::io::{self, BufRead};

use super::lines::each_line;
use super::name::lets_in;
use super::{Entry, Found, Mark, Sink, Told, Why};
use statement::{End, Scanner, Statement};

/// Directives with one value that a whole configuration has outside of every block.
const DIRECTIVES: [&str; 16] = [
    "daemon",
    "env",
    "error_log",
    "load_module",
    "lock_file",
    "master_process",
    "pcre_jit",
    "pid",
    "ssl_engine",
    "user",
    "worker_cpu_affinity",
    "worker_priority",
    "worker_processes",
    "worker_rlimit_nofile",
    "worker_shutdown_timeout",
    "working_directory",
];

/// What the name of a variable has in it that says who is shut out.
const SHUT_OUT: [&str; 7] = [
    "block", "deny", "denied", "ban", "revoke", "reject", "forbid",
];

/// Files that come with nginx and name no clients: nearly every configuration includes one.
const STOCK: [&str; 5] = [
    "fastcgi.conf",
    "fastcgi_params",
    "mime.types",
    "scgi_params",
    "uwsgi_params",
];

/// What the keys of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// A fingerprint, or what is told by its shape.
    Shaped,
    /// This, of the certificate.
    Told(Told),
    /// Something of the certificate that is not read.
    Unknown,
    /// The name of an issuer.
    Issuer,
    /// Nothing of the certificate's.
    Other,
    /// Those of a block that is no map, but may hold some.
    Outer,
}

/// Reads a file.
pub(super) fn read(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    let (mut scanner, mut blocks) = (Scanner::default(), Vec::new());
    let lines = each_line(input, |number, line| {
        let mut each = |statement: Statement| take(&statement, &mut blocks, sink);
        let done = line.and_then(|line| scanner.line(number, line, &mut each));
        if let Err(why) = done {
            sink(number, why.into());
        }
    })?;
    if scanner.is_open() {
        sink(
            lines,
            Why::Syntax("the last statement does not end with a semicolon").into(),
        );
    } else if !blocks.is_empty() {
        sink(
            lines,
            Why::Syntax("a block is not closed; is the file cut off?").into(),
        );
    }
    Ok(lines)
}

fn take(statement: &Statement, blocks: &mut Vec<Keys>, sink: Sink<'_>) {
    let words: Vec<_> = statement.words.iter().map(String::as_str).collect();
    match (statement.end, words.as_slice()) {
        (End::Open, ["map", source, target]) => {
            let keys = keys_of(source);
            if keys != Keys::Other && shuts_out(target) {
                sink(statement.line, Why::ShutsOut.into());
                return blocks.push(Keys::Other);
            }
            blocks.push(keys);
        }
        (End::Open, _) => blocks.push(Keys::Outer),
        (End::Close, _) => {
            if blocks.pop().is_none() {
                let why = Why::Syntax("a brace is closed that was not opened");
                sink(statement.line, why.into());
            }
        }
        (End::Semicolon, words) => {
            let keys = blocks.last().copied().unwrap_or(Keys::Shaped);
            if keys == Keys::Outer {
                if let ["include", file] = words
                    && !STOCK.contains(&file.rsplit('/').next().unwrap_or(file))
                {
                    sink(statement.line, Why::Include.into());
                }
            } else if keys != Keys::Other
                && let Some(found) = parameter(words, keys, blocks.is_empty())
            {
                sink(statement.line, found);
            }
        }
    }
}

/// Whether a map of this variable lists whom nginx shuts out, by its name.
fn shuts_out(target: &str) -> bool {
    let target = target.to_ascii_lowercase();
    SHUT_OUT.iter().any(|word| target.contains(word))
}

fn keys_of(source: &str) -> Keys {
    let name = source.trim_start_matches("${").trim_end_matches('}');
    match name.trim_start_matches('$') {
        "ssl_client_fingerprint" => Keys::Shaped,
        "ssl_client_s_dn" => Keys::Told(Told::Subject),
        "ssl_client_s_dn_legacy" => Keys::Told(Told::SubjectInOneLine),
        "ssl_client_serial" => Keys::Told(Told::Serial),
        "ssl_client_i_dn" | "ssl_client_i_dn_legacy" => Keys::Issuer,
        // Whether a certificate is good is asked of everybody here.
        "ssl_client_verify" => Keys::Other,
        _ if source.contains("ssl_client_") => Keys::Unknown,
        _ => Keys::Other,
    }
}

/// A line within a block, or within a file that a block includes.
fn parameter(words: &[&str], keys: Keys, is_bare: bool) -> Option<Found> {
    Some(match words {
        [] | ["volatile" | "hostnames"] => return None,
        ["include", _] => Why::Include.into(),
        ["default", value] => match lets_in(value) {
            Some(false) => Found::Denied,
            _ => Why::Everybody.into(),
        },
        [directive, _] if is_bare && DIRECTIVES.contains(directive) => return None,
        [key, value] => entry(key, value, keys).into(),
        _ if is_bare => Why::Syntax("write a key, a value and a semicolon").into(),
        _ => Why::Syntax("a map has a key and a value to a line").into(),
    })
}

fn entry(key: &str, value: &str, keys: Keys) -> Result<Found, Why> {
    if key.starts_with('~') {
        return Err(Why::Pattern);
    }
    let lets_in = lets_in(value);
    if lets_in == Some(false) {
        return Ok(Found::Denied);
    }
    // Keys that would read as something else begin with a backslash.
    let key = key.strip_prefix('\\').unwrap_or(key);
    if key.is_empty() {
        return Err(Why::Anonymous);
    }
    if value.contains('$') {
        return Err(Why::Computed);
    }
    let mark = match keys {
        Keys::Issuer => return Err(Why::Issuer),
        Keys::Unknown => {
            return Err(Why::Syntax(
                "this map is of a variable that is not read; docs/IMPORT.md lists those that are",
            ));
        }
        Keys::Told(told) => Mark::described(told, key)?,
        Keys::Shaped | Keys::Other | Keys::Outer => {
            Mark::shaped(key, Told::Subject, Told::SubjectInOneLine)?
        }
    };
    let called = lets_in.is_none().then_some(value);
    Ok(Entry::new(called, mark).into())
}

#[cfg(test)]
mod tests {
    use crate::import::Format::Nginx;
    use crate::import::tests::{digests, found};

    #[test]
    fn the_file_that_a_block_includes_is_read_by_shape() {
        let (sha1, sha256) = digests();
        let text = format!(
            "# clients\r\n{sha1} acme; # by SHA-1\n{sha256} \"Bravo Corp\";\n\"CN=c,O=C\" 1;\n\
             '/O=D/CN=d' d;\n\\default 1;\nEF01 e; EF02 0;\n"
        );
        let expected = [
            "2 acme: sha1",
            "3 Bravo Corp: sha256",
            "4 ?: Subject CN=c,O=C",
            "5 d: SubjectInOneLine /O=D/CN=d",
            "6 ?: CommonName default",
            "7 e: Serial EF01",
            "7 -",
        ];
        assert_eq!(found(Nginx, &text), expected);
    }

    #[test]
    fn of_a_configuration_the_maps_of_certificates_are_read() {
        let (sha1, _) = digests();
        let text = format!(
            "user www-data;\nworker_processes auto;\nhttp {{\n  include mime.types;\n\
             map $http_upgrade $connection {{ default upgrade; '' close; }}\n\
             map $ssl_client_fingerprint $client {{ default \"\";\n {sha1} acme; }}\n\
             map $ssl_client_s_dn $tenant {{\n \"CN=abc123\" 1;\n }}\n\
             map $ssl_client_serial $s {{ 0A b; }}\n\
             map $ssl_client_i_dn $i {{ CN=ca 1; }}\n\
             map $ssl_client_s_dn$uri $x {{ a b; }}\n\
             server {{ listen 443 ssl; location / {{ return 200; }} }}\n}}\n"
        );
        let expected = [
            "6 -",
            "7 acme: sha1",
            "9 ?: Subject CN=abc123",
            "11 b: Serial 0A",
            "12 !issuer",
            "13 !syntax",
        ];
        assert_eq!(found(Nginx, &text), expected);
    }

    #[test]
    fn c11_what_lets_in_more_than_it_names_is_refused() {
        let text = "default 1;\ndefault acme;\ndefault $other;\ndefault 0;\n\"\" 1;\n'' 0;\n\
                    ~CN=acme 1;\n~*^CN= 1;\n\"CN=*\" 1;\ninclude /etc/passwd;\n\
                    include ../../other.map;\nhostnames;\nvolatile;\n*.example.com a;\nCN=a $b;\n";
        let expected = [
            "1 !everybody",
            "2 !everybody",
            "3 !everybody",
            "4 -",
            "5 !anonymous",
            "6 -",
            "7 !pattern",
            "8 !pattern",
            "9 !pattern",
            "10 !include",
            "11 !include",
            "14 !pattern",
            "15 !computed",
        ];
        assert_eq!(found(Nginx, text), expected);
    }

    #[test]
    fn c11_a_list_of_those_who_are_shut_out_lets_nobody_in() {
        let (sha1, _) = digests();
        for (target, expected) in [
            ("$blocked", "1 !shuts_out"),
            ("$Client_Denied", "1 !shuts_out"),
            ("$banned", "1 !shuts_out"),
            ("$client", "2 ?: sha1"),
        ] {
            let text = format!("map $ssl_client_fingerprint {target} {{\n{sha1} 1;\n}}\n");
            assert_eq!(found(Nginx, &text), [expected]);
        }
        assert_eq!(found(Nginx, "map $uri $blocked { /a 1; }\n"), [""; 0]);
    }

    #[test]
    fn another_file_is_refused_wherever_it_is_included() {
        let text = "http {\ninclude /etc/nginx/mime.types;\ninclude conf.d/*.conf;\n\
                    map $uri $new { include redirects.map; }\nserver { location / {\n\
                    include fastcgi_params; include clients.conf; } }\n}\n";
        assert_eq!(found(Nginx, text), ["3 !include", "6 !include"]);
    }

    #[test]
    fn what_is_malformed_is_told_by_its_line() {
        for (text, expected) in [
            ("a b c;\n", "1 !syntax"),
            ("a;\n", "1 !syntax"),
            ("CN=a b", "1 !syntax"),
            ("}\n", "1 !syntax"),
            ("map $ssl_client_s_dn $x {\n", "1 !syntax"),
            ("\"CN=a\"b c;\n", "1 !syntax"),
        ] {
            assert_eq!(found(Nginx, text), [expected], "{text}");
        }
    }
}
