//! Apache: configurations, maps of `RewriteMap`, and the user files of `FakeBasicAuth`.

mod condition;
mod section;

use std::io::{self, BufRead};

use super::lines::{each_line, pair};
use super::name::lets_in;
use super::{Entry, Found, Mark, Sink, Told, Why};
use section::{Asks, Sections};

/// Reads a map of `RewriteMap` (`txt:`): a key and a value to a line, and what follows a blank after
/// that is a comment.
pub(super) fn map(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    each_line(input, |number, line| {
        let line = match line {
            Ok(line) => line.trim(),
            Err(why) => return sink(number, why.into()),
        };
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let (key, rest) = pair(line);
        let value = pair(rest).0;
        let lets_in = lets_in(value);
        let found = if value.is_empty() {
            Why::Syntax("a map has a key and a value to a line").into()
        } else if lets_in == Some(false) {
            Found::Denied
        } else {
            let mark = Mark::shaped(key, Told::SubjectOfApache, Told::SubjectInOneLine);
            let called = lets_in.is_none().then_some(value);
            mark.map(|mark| Entry::new(called, mark)).into()
        };
        sink(number, found);
    })
}

/// Reads the user file of `FakeBasicAuth`: the subject in one line, a colon, and a password that is the
/// same for all.
pub(super) fn users(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    each_line(input, |number, line| {
        let line = match line {
            Ok(line) => line.trim(),
            Err(why) => return sink(number, why.into()),
        };
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let user = line.rsplit_once(':').map(|(user, _)| user);
        let subject = user.filter(|user| user.starts_with('/'));
        let subject = subject.ok_or(Why::Syntax(
            "write the subject of a certificate, as /O=…/CN=…, and the password of FakeBasicAuth",
        ));
        let mark = subject.and_then(|subject| Mark::described(Told::SubjectInOneLine, subject));
        sink(number, mark.map(|mark| Entry::new(None, mark)).into());
    })
}

/// Reads a configuration: whom `SSLRequire` and `Require expr` let in.
pub(super) fn configuration(input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    let (mut whole, mut begun, mut sections) = (String::new(), 0, Sections::default());
    let lines = each_line(input, |number, line| {
        let line = match line {
            Ok(line) => line.trim(),
            Err(why) => return sink(number, why.into()),
        };
        if whole.is_empty() {
            begun = number;
        }
        // What a backslash ends goes on in the next line.
        if let Some(begin) = line.strip_suffix('\\').filter(|_| whole.len() < 64 * 1024) {
            whole.push_str(begin);
            whole.push(' ');
            return;
        }
        whole.push_str(line);
        directive(&std::mem::take(&mut whole), begun, &mut sections, sink);
    })?;
    if !whole.is_empty() {
        sink(begun, Why::Syntax("the last line goes on nowhere").into());
    }
    sections.close(sink);
    Ok(lines)
}

fn directive(line: &str, number: u32, sections: &mut Sections, sink: Sink<'_>) {
    // A section that counts for some clients only, or what stands on one line with its section.
    if line.starts_with('<') && line.contains(OF_CLIENT) {
        sink(number, condition::UNKNOWN.into());
    }
    if sections.line(line, number, sink) {
        return;
    }
    let (name, rest) = pair(line);
    let is = |directive: &str| name.eq_ignore_ascii_case(directive);
    let (asks, condition) = if is("SSLRequire") {
        (Asks::SslRequire, rest)
    } else if is("Require") {
        match required(rest) {
            Required::Expression(condition) => (Asks::Require, condition),
            Required::Certificate => return sink(number, Why::Authority.into()),
            Required::Granted => return,
            Required::Other => return sections.other(Asks::Require),
        }
    } else {
        if is("SSLVerifyClient") && rest.eq_ignore_ascii_case("optional_no_ca") {
            sink(number, Why::Unverified.into());
        }
        return;
    };
    if !condition.contains(OF_CLIENT) {
        return sections.other(asks);
    }
    if sections.is_inverted() {
        return sink(number, Why::ShutsOut.into());
    }
    match condition::marks(condition) {
        Ok(marks) => sections.condition(asks, number, marks),
        Err(why) => {
            sections.other(asks);
            sink(number, why.into());
        }
    }
}

/// What every variable of the client's certificate begins with.
const OF_CLIENT: &str = "SSL_CLIENT_";

/// What a `Require` asks for.
enum Required<'a> {
    /// That a condition is met.
    Expression(&'a str),
    /// Any certificate of the authority.
    Certificate,
    /// Nothing that whoever has a certificate does not have.
    Granted,
    /// Something else.
    Other,
}

fn required(rest: &str) -> Required<'_> {
    let (provider, rest) = pair(rest);
    let is = |word: &str| provider.eq_ignore_ascii_case(word);
    if is("expr") {
        Required::Expression(rest.trim_matches('"'))
    } else if is("not") && rest.contains(OF_CLIENT) {
        // It is no condition that is read, and is refused as one.
        Required::Expression(rest)
    } else if is("ssl-verify-client") {
        Required::Certificate
    } else if is("ssl") || (is("all") && rest.eq_ignore_ascii_case("granted")) {
        Required::Granted
    } else {
        Required::Other
    }
}

#[cfg(test)]
mod tests {
    use crate::import::Format::{Apache, ApacheMap, ApacheUsers};
    use crate::import::tests::{digests, found};

    #[test]
    fn a_configuration_names_clients_in_its_conditions() {
        let text = "# clients\n<Location /api>\n  SSLVerifyClient require\n\
                    SSLRequire %{SSL_CLIENT_S_DN_CN} in {\"acme\", \\\n   \"bravo\"}\n\
                    </Location>\n<Location /c>\n\
                    Require expr \"%{SSL_CLIENT_S_DN} == 'CN=c,O=C'\"\n\
                    Require expr \"%{REQUEST_URI} =~ m#^/open#\"\n\
                    </Location>\n<Location /d>\n\
                    SSLRequire %{SSL_CLIENT_S_DN_CN} =~ m/^d/\n\
                    SSLRequire ( %{SSL_CLIENT_S_DN_CN} eq \"e\" and %{TIME_HOUR} > 8 )\n\
                    Require ssl-verify-client\nSSLVerifyClient optional_no_ca\nRequire all granted\n\
                    </Location>\n";
        let expected = [
            "12 !pattern",
            "13 !syntax",
            "14 !authority",
            "15 !unverified",
            "4 ?: CommonName acme",
            "4 ?: CommonName bravo",
            "8 ?: SubjectOfApache CN=c,O=C",
        ];
        assert_eq!(found(Apache, text), expected);
        assert_eq!(found(Apache, "Require expr \\"), ["1 !syntax"]);
    }

    #[test]
    fn c11_sections_are_heeded() {
        let client = |name: &str| format!("Require expr \"%{{SSL_CLIENT_S_DN_CN}} == '{name}'\"\n");
        let (a, b) = (client("a"), client("b"));
        let not = "Require not expr \"%{SSL_CLIENT_S_DN_CN} == 'b'\"\n";
        let within = |kind: &str, what: &[&str]| {
            format!("<Require{kind}>\n{}</Require{kind}>\n", what.concat())
        };
        let ip = "Require ip 10.0.0.0/8\n";
        let any = within("Any", &[&a, &b]);
        let none = within("none", &[&a]);
        for (text, expected) in [
            (none.clone(), vec!["2 !shuts_out"]),
            (
                within("All", &[&b, &none]),
                vec!["4 !shuts_out", "2 !syntax"],
            ),
            (
                within("None", &[&any]),
                vec!["3 !shuts_out", "4 !shuts_out"],
            ),
            (within("All", &[&a, ip]), vec!["2 !syntax"]),
            (within("All", &[&a, &b]), vec!["2 !syntax", "3 !syntax"]),
            (within("All", &[&a, not]), vec!["3 !syntax", "2 !syntax"]),
            (within("All", &[ip, &any]), vec!["4 !syntax", "5 !syntax"]),
            (
                within("All", &[&a, "Require expr \"%{TIME_HOUR} > 8\"\n"]),
                vec!["2 !syntax"],
            ),
            (
                within("All", &["Require all granted\n", &any]),
                vec!["4 ?: CommonName a", "5 ?: CommonName b"],
            ),
            (any.clone(), vec!["2 ?: CommonName a", "3 ?: CommonName b"]),
            (format!("<RequireAll>\n{a}"), vec!["1 !syntax"]),
            ("</RequireAll>\n".to_owned(), vec!["1 !syntax"]),
            (
                format!("<RequireNone>{a}</RequireNone>\n"),
                vec!["1 !syntax", "2 !syntax"],
            ),
            (
                format!("<If \"%{{SSL_CLIENT_S_DN_CN}} == 'a'\">\n{b}</If>\n"),
                vec!["1 !syntax", "2 ?: CommonName b"],
            ),
        ] {
            assert_eq!(found(Apache, &text), expected, "{text}");
        }
    }

    #[test]
    fn c11_what_must_hold_beside_something_else_names_nobody() {
        let ssl = |name: &str| format!("SSLRequire %{{SSL_CLIENT_S_DN_CN}} eq \"{name}\"\n");
        let require =
            |name: &str| format!("Require expr \"%{{SSL_CLIENT_S_DN_CN}} == '{name}'\"\n");
        let within = |section: &str, what: &[&str]| {
            let name = section.split(' ').next().unwrap();
            format!("<{section}>\n{}</{name}>\n", what.concat())
        };
        let at = |what: &[&str]| within("Location /a", what);
        let (a, b, c) = (ssl("a"), ssl("b"), require("c"));
        let cipher = "SSLRequire %{SSL_CIPHER_USEKEYSIZE} >= 128\n";
        let granted = "Require all granted\n";
        for (text, expected) in [
            (at(&[&a, &c]), vec!["3 !syntax", "2 !syntax"]),
            (at(&[&c, &a]), vec!["2 !syntax", "3 !syntax"]),
            (a.clone() + &c, vec!["2 !syntax", "1 !syntax"]),
            (at(&[&a, &b]), vec!["2 !syntax", "3 !syntax"]),
            (at(&[&a, cipher]), vec!["2 !syntax"]),
            (at(&[cipher, &c]), vec!["3 !syntax"]),
            (at(&[&a, "Require valid-user\n"]), vec!["2 !syntax"]),
            (
                at(&[&a, &within("RequireAny", &[&c])]),
                vec!["4 !syntax", "2 !syntax"],
            ),
            (
                at(&[&a, &within("IfModule mod_ssl.c", &[&c])]),
                vec!["4 !syntax", "2 !syntax"],
            ),
            (
                at(&[&a, &within("If \"true\"", &[&c])]),
                vec!["2 !syntax", "4 !syntax"],
            ),
            (
                at(&[&c, &within("If \"true\"", &[&a])]),
                vec!["2 !syntax", "4 !syntax"],
            ),
            // Each by itself, or beside what everybody may, names its clients.
            (at(&[&a, granted]), vec!["2 ?: CommonName a"]),
            (
                within("VirtualHost *:443", &[&at(&[&a]), &at(&[&b]), &at(&[&c])]),
                vec![
                    "3 ?: CommonName a",
                    "6 ?: CommonName b",
                    "9 ?: CommonName c",
                ],
            ),
            (format!("<Location /a>\n{a}"), vec!["1 !syntax"]),
            (
                format!("{a}</Location>\n"),
                vec!["2 !syntax", "1 ?: CommonName a"],
            ),
        ] {
            assert_eq!(found(Apache, &text), expected, "{text}");
        }
    }

    #[test]
    fn a_map_and_a_user_file_have_a_client_to_a_line() {
        let (sha1, _) = digests();
        let text = format!("# map\n{sha1} acme a comment\nCN=b,O=B 1\nc off\nd\n");
        let expected = [
            "2 acme: sha1",
            "3 ?: SubjectOfApache CN=b,O=B",
            "4 -",
            "5 !syntax",
        ];
        assert_eq!(found(ApacheMap, &text), expected);
        let text = "/C=DE/O=Snake Oil, Ltd./CN=acme:xxj31ZMTZzkVA\nbravo:$apr1$x$y\nc\n";
        let expected = [
            "1 ?: SubjectInOneLine /C=DE/O=Snake Oil, Ltd./CN=acme",
            "2 !syntax",
            "3 !syntax",
        ];
        assert_eq!(found(ApacheUsers, text), expected);
    }
}
