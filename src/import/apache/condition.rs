//! The conditions of Apache that name clients, and nothing else.

use crate::import::{Mark, Told, Why};

pub(super) const UNKNOWN: Why = Why::Syntax(
    "this condition says more than that a subject or common name is one of some; name the clients in a \
     table (csv)",
);

/// Whom a condition lets in: one comparison, or several with `or` between.
pub(super) fn marks(condition: &str) -> Result<Vec<Mark>, Why> {
    let mut tokens = tokens(condition)?.into_iter().peekable();
    let mut marks = Vec::new();
    loop {
        let told = match tokens.next() {
            Some(Token::Variable(name)) => told(name)?,
            _ => return Err(UNKNOWN),
        };
        match tokens.next() {
            Some(Token::Word("==" | "=" | "eq")) => match tokens.next() {
                Some(Token::Text(text)) => marks.push(Mark::described(told, &text)?),
                _ => return Err(UNKNOWN),
            },
            Some(Token::Word("in" | "-in")) => {
                if tokens.next() != Some(Token::Word("{")) {
                    return Err(UNKNOWN);
                }
                loop {
                    match tokens.next() {
                        Some(Token::Text(text)) => marks.push(Mark::described(told, &text)?),
                        Some(Token::Word(",")) => {}
                        Some(Token::Word("}")) => break,
                        _ => return Err(UNKNOWN),
                    }
                }
            }
            Some(Token::Word("=~")) => return Err(Why::Pattern),
            _ => return Err(UNKNOWN),
        }
        match tokens.next() {
            None => return Ok(marks),
            Some(Token::Word("or" | "||")) => {}
            Some(_) => return Err(UNKNOWN),
        }
    }
}

fn told(variable: &str) -> Result<Told, Why> {
    match variable {
        "SSL_CLIENT_S_DN" => Ok(Told::SubjectOfApache),
        "SSL_CLIENT_S_DN_CN" => Ok(Told::CommonName),
        "SSL_CLIENT_M_SERIAL" => Ok(Told::Serial),
        name if name.starts_with("SSL_CLIENT_I_DN") => Err(Why::Issuer),
        _ => Err(UNKNOWN),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// `%{NAME}`
    Variable(&'a str),
    /// Between quotes.
    Text(String),
    /// Everything else.
    Word(&'a str),
}

fn tokens(mut rest: &str) -> Result<Vec<Token<'_>>, Why> {
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        if let Some(after) = rest.strip_prefix("%{") {
            let (name, after) = after.split_once('}').ok_or(UNKNOWN)?;
            tokens.push(Token::Variable(name.trim_start_matches("SSL:")));
            rest = after;
        } else if first == '"' || first == '\'' {
            let (text, after) = quoted(rest, first).ok_or(UNKNOWN)?;
            tokens.push(Token::Text(text));
            rest = after;
        } else {
            let is_own = |c: char| matches!(c, '{' | '}' | ',' | '(' | ')');
            let ends = |c: char| c.is_whitespace() || is_own(c) || matches!(c, '"' | '\'' | '%');
            let own = is_own(first) || first == '%';
            let end = if own {
                first.len_utf8()
            } else {
                rest.find(ends).unwrap_or(rest.len())
            };
            let (word, after) = rest.split_at(end);
            tokens.push(Token::Word(word));
            rest = after;
        }
    }
}

/// The text that begins with a quote, and what comes after it. Within quotes of another kind that are
/// escaped, as `Require expr "…"` has them, the backslashes go.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        if is_escaped {
            if c != quote && c != '\\' {
                value.push('\\');
            }
            value.push(c);
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == quote {
            return Some((value, text.get(at.saturating_add(1)..)?));
        } else {
            value.push(c);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_with_or_between_name_clients_and_nothing_else_does() {
        let cn = |name: &str| Mark::Described(Told::CommonName, name.into());
        for (condition, expected) in [
            (r#"%{SSL_CLIENT_S_DN_CN} eq "acme""#, vec![cn("acme")]),
            (
                r#"%{SSL_CLIENT_S_DN_CN} in {"acme", "bravo"} || %{SSL_CLIENT_S_DN_CN} == 'c\'d'"#,
                vec![cn("acme"), cn("bravo"), cn("c'd")],
            ),
            (
                r#"%{SSL_CLIENT_S_DN}=="CN=a\,b,O=c""#,
                vec![Mark::Described(
                    Told::SubjectOfApache,
                    r"CN=a\,b,O=c".into(),
                )],
            ),
        ] {
            assert_eq!(marks(condition), Ok(expected), "{condition}");
        }
        for condition in [
            r#"%{SSL_CLIENT_S_DN_CN} eq "acme" and %{TIME_HOUR} > 8"#,
            r#"not %{SSL_CLIENT_S_DN_CN} eq "acme""#,
            r#"( %{SSL_CLIENT_S_DN_CN} eq "acme" )"#,
            r#"%{SSL_CLIENT_S_DN_OU} eq "acme""#,
            r#"%{SSL_CLIENT_S_DN_CN} ne "acme""#,
            r#"%{SSL_CLIENT_S_DN_CN} eq "acme"#,
            "%{SSL_CLIENT_VERIFY",
            "",
        ] {
            assert_eq!(marks(condition), Err(UNKNOWN), "{condition}");
        }
        let pattern = r"%{SSL_CLIENT_S_DN_CN} =~ m/^acme/";
        assert_eq!(marks(pattern), Err(Why::Pattern));
        assert_eq!(marks(r#"%{SSL_CLIENT_I_DN} eq "CN=a""#), Err(Why::Issuer));
    }
}
