//! The id of a client out of what a file calls it.

use super::{Mark, Told, Why};
use crate::certificate::Facts;
use crate::client::ClientId;
use crate::text::is_hostile;

/// How many digits of a fingerprint name a client that has no other name: of a million, no two are
/// likely to share them.
const DIGITS: usize = 16;

/// What a value says that only lets in, or only does not.
pub(super) fn lets_in(value: &str) -> Option<bool> {
    const YES: [&str; 10] = [
        "1", "true", "yes", "on", "ok", "allow", "allowed", "pass", "success", "granted",
    ];
    const NO: [&str; 10] = [
        "", "0", "false", "no", "off", "deny", "denied", "block", "blocked", "none",
    ];
    let value = value.trim().to_ascii_lowercase();
    let is = |words: &[&str]| words.contains(&value.as_str());
    (is(&YES) || is(&NO)).then(|| is(&YES))
}

/// The client's id, and the name that it was derived from, where that is another.
pub(super) fn id_of(
    called: Option<&str>,
    mark: &Mark,
) -> Result<(ClientId, Option<Box<str>>), Why> {
    let derived;
    let called = if let Some(called) = called {
        called.trim()
    } else {
        derived = from_mark(mark)?;
        derived.as_str()
    };
    if let Ok(id) = called.parse() {
        return Ok((id, None));
    }
    // Whoever reads the id must not take it for another's.
    if called.chars().any(is_hostile) || called.chars().count() > 200 {
        return Err(Why::Name);
    }
    let id = plain(called).parse().map_err(|_| Why::Name)?;
    Ok((id, Some(called.into())))
}

/// A name for a client that the file only lets in.
fn from_mark(mark: &Mark) -> Result<String, Why> {
    let begin = |digits: &str| format!("cert-{}", digits.get(..DIGITS).unwrap_or(digits));
    match mark {
        Mark::Fingerprint(fingerprint) => Ok(begin(&fingerprint.to_string())),
        Mark::Certificate(handed) => {
            let name = handed.facts.as_ref().and_then(Facts::common_name);
            Ok(name.unwrap_or_else(|| begin(&handed.fingerprint.to_string())))
        }
        Mark::Sha1(alias) => {
            let text = alias.to_string();
            Ok(begin(text.trim_start_matches("sha1-")))
        }
        Mark::Described(Told::Serial, text) => Ok(format!("serial-{}", text.replace(':', ""))),
        Mark::Described(Told::CommonName, text) => Ok(text.to_string()),
        Mark::Described(_, subject) => common_name(subject).ok_or(Why::Nameless),
        Mark::Key | Mark::Nothing => Err(Why::Nameless),
    }
}

/// The common name in a subject, in whichever form.
fn common_name(subject: &str) -> Option<String> {
    let parts = subject.split([',', '/', '+']).map(str::trim);
    let names = parts.filter_map(|part| {
        let (kind, name) = part.split_once('=')?;
        kind.trim().eq_ignore_ascii_case("cn").then_some(name)
    });
    let mut names = names.filter(|name| !name.is_empty());
    // RFC 2253 begins with the most specific, one line ends with it.
    let name = if subject.starts_with('/') {
        names.next_back()
    } else {
        names.next()
    };
    name.map(str::to_owned)
}

/// The characters of an id, with one hyphen for each run of others.
fn plain(name: &str) -> String {
    let mut id = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_' {
            id.push(c);
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
    }
    id.truncate(id.trim_end_matches('-').len());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_and_another_name_is_made_one() {
        let id = |called: &str| id_of(Some(called), &Mark::Key);
        assert_eq!(id("acme-1"), Ok(("acme-1".parse().unwrap(), None)));
        let derived = |id: &str, of: &str| Ok((id.parse().unwrap(), Some(of.into())));
        assert_eq!(
            id("Acme Corp (EU)"),
            derived("acme-corp-eu", "Acme Corp (EU)")
        );
        assert_eq!(id("Müller"), derived("m-ller", "Müller"));
        for hostile in ["a\u{202e}b", "a\nb", "\u{200b}", "例え", "", "--\u{1b}[2J"] {
            assert_eq!(id(hostile), Err(Why::Name), "{hostile:?}");
        }
        assert_eq!(id(&"a".repeat(10_000)), Err(Why::Name));
        assert_eq!(id(&"a".repeat(65)), Err(Why::Name));
    }

    #[test]
    fn who_is_only_let_in_is_called_by_the_certificate() {
        let id = |mark: &Mark| id_of(None, mark).map(|(id, _)| id.to_string());
        let sha1 = Mark::digest(&"ab".repeat(20)).unwrap();
        assert_eq!(id(&sha1), Ok("cert-abababababababab".into()));
        for (subject, name) in [
            ("CN=Acme,OU=x,CN=below", "acme"),
            ("/C=DE/CN=above/CN=acme", "acme"),
        ] {
            let told = Mark::Described(Told::Subject, subject.into());
            assert_eq!(id(&told), Ok(name.into()));
        }
        let nameless = Mark::Described(Told::Subject, "O=Acme".into());
        assert_eq!(id(&nameless), Err(Why::Nameless));
    }

    #[test]
    fn some_values_only_let_in() {
        assert_eq!(lets_in("1"), Some(true));
        assert_eq!(lets_in(" OFF"), Some(false));
        assert_eq!(lets_in(""), Some(false));
        assert_eq!(lets_in("acme"), None);
    }
}
