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
    let id = ClientId::plain(called).parse().map_err(|_| Why::Name)?;
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

/// The common name in a subject, in whichever form: of several the most specific, with which RFC 2253
/// begins, and with which one line ends. Only RFC 2253 escapes what stands between attributes.
fn common_name(subject: &str) -> Option<String> {
    let name = match subject.strip_prefix('/') {
        None => Facts::common_name_in(subject)?,
        Some(line) => {
            let names = line.rsplit('/').filter_map(|part| part.split_once('='));
            let mut names = names.filter(|(kind, _)| kind.trim().eq_ignore_ascii_case("cn"));
            names.next()?.1.to_owned()
        }
    };
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
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
            // What stands between attributes may stand in a name as well.
            (r"OU=x, cn=Acme\, Inc\2C EU,O=Acme", "acme-inc-eu"),
            (r"OU=CN\=x+CN=a\+b,CN=below", "a-b"),
            ("/O=Snake Oil, Ltd./CN=Acme, Inc+b", "acme-inc-b"),
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
