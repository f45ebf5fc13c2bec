//! Text of strangers that people read: in logs, in tables, in the names of certificates.

/// Whether a character breaks lines, steers a terminal, is invisible, or makes text read in another
/// order.
#[must_use]
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The first `longest` characters of `text`, hostile ones as `\u{202e}` and a backslash as `\\`: what
/// differs remains different.
#[must_use]
pub fn escaped(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(longest) {
        if is_hostile(c) || c == '\\' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_a_reader_is_escaped_and_nothing_else() {
        for c in "\0\u{1b}\u{7f}\u{85}\u{9b}\u{61c}\u{200b}\u{2028}\u{202e}\u{2066}\u{feff}".chars()
        {
            assert!(is_hostile(c), "{c:?}");
            let text = escaped(&c.to_string(), 1);
            assert_eq!(text, format!("\\u{{{:x}}}", u32::from(c)));
        }
        let plain = "api.example.com é 例え *_-";
        assert_eq!(escaped(plain, 255), plain);
        // Nobody writes what looks like an escaped character.
        assert_eq!(escaped(r"\u{85}", 255), r"\\u{85}");
    }

    #[test]
    fn what_is_escaped_has_an_end() {
        assert_eq!(escaped("aé\n\n", 3), r"aé\n");
        assert!(escaped(&"\u{e0001}".repeat(100_000), 255).len() <= 255 * 10);
    }
}
