//! Apache: configurations, maps of `RewriteMap`, and the user files of `FakeBasicAuth`.

mod condition;

use std::io::{self, BufRead};

use super::lines::{each_line, pair};
use super::name::lets_in;
use super::{Entry, Found, Mark, Sink, Told, Why};

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
    let (mut whole, mut begun) = (String::new(), 0);
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
        directive(&std::mem::take(&mut whole), begun, sink);
    })?;
    if !whole.is_empty() {
        sink(begun, Why::Syntax("the last line goes on nowhere").into());
    }
    Ok(lines)
}

fn directive(line: &str, number: u32, sink: Sink<'_>) {
    let (name, rest) = pair(line);
    let is = |directive: &str| name.eq_ignore_ascii_case(directive);
    let condition = if is("SSLRequire") {
        rest
    } else if is("Require") {
        let (provider, rest) = pair(rest);
        if provider.eq_ignore_ascii_case("ssl-verify-client") {
            return sink(number, Why::Authority.into());
        }
        if !provider.eq_ignore_ascii_case("expr") {
            return;
        }
        rest.trim_matches('"')
    } else {
        if is("SSLVerifyClient") && rest.eq_ignore_ascii_case("optional_no_ca") {
            sink(number, Why::Unverified.into());
        }
        return;
    };
    if !condition.contains("SSL_CLIENT_") {
        return;
    }
    match condition::marks(condition) {
        Ok(marks) => {
            for mark in marks {
                sink(number, Entry::new(None, mark).into());
            }
        }
        Err(why) => sink(number, why.into()),
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
                    Require expr \"%{SSL_CLIENT_S_DN} == 'CN=c,O=C'\"\n\
                    Require expr \"%{REQUEST_URI} =~ m#^/open#\"\n\
                    SSLRequire %{SSL_CLIENT_S_DN_CN} =~ m/^d/\n\
                    SSLRequire ( %{SSL_CLIENT_S_DN_CN} eq \"e\" and %{TIME_HOUR} > 8 )\n\
                    Require ssl-verify-client\nSSLVerifyClient optional_no_ca\nRequire all granted\n\
                    </Location>\n";
        let expected = [
            "4 ?: CommonName acme",
            "4 ?: CommonName bravo",
            "6 ?: SubjectOfApache CN=c,O=C",
            "8 !pattern",
            "9 !syntax",
            "10 !authority",
            "11 !unverified",
        ];
        assert_eq!(found(Apache, text), expected);
        assert_eq!(found(Apache, "Require expr \\"), ["1 !syntax"]);
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
