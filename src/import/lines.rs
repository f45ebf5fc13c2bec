//! The lines of a file of any size.

use std::io::{self, BufRead, Read as _};

use super::Why;

/// The longest line that is read: a certificate in one line is shorter.
const LONGEST: u64 = 64 * 1024;

/// Calls `each` with every line, without its end, and its number; gives how many there are.
pub(super) fn each_line(
    input: &mut dyn BufRead,
    mut each: impl FnMut(u32, Result<&str, Why>),
) -> io::Result<u32> {
    let (mut number, mut line) = (0_u32, Vec::new());
    loop {
        line.clear();
        let read = (&mut *input).take(LONGEST).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(number);
        }
        number = number.saturating_add(1);
        if line.last() != Some(&b'\n') && line.len() as u64 == LONGEST {
            skip_line(input)?;
            each(number, Err(Why::Syntax("the line is too long")));
            continue;
        }
        each(number, text(&line, number == 1));
    }
}

/// Every line as text, whatever stands in it.
fn text(line: &[u8], is_first: bool) -> Result<&str, Why> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = match line.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) if is_first => rest,
        _ => line,
    };
    if line.contains(&0) {
        return Err(Why::Syntax("it is no text"));
    }
    std::str::from_utf8(line).map_err(|_| Why::Syntax("it is not UTF-8"))
}

fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = memchr::memchr(b'\n', buffer);
        let skipped = end.map_or(buffer.len(), |at| at.saturating_add(1));
        let is_over = end.is_some() || buffer.is_empty();
        input.consume(skipped);
        if is_over {
            return Ok(());
        }
    }
}

/// The two parts of a line with blanks between: the first word, and all that follows.
pub(super) fn pair(line: &str) -> (&str, &str) {
    let line = line.trim();
    match line.split_once([' ', '\t']) {
        Some((key, value)) => (key, value.trim()),
        None => (line, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_either_way_and_bad_ones_cost_only_themselves() {
        let long = "x".repeat(200_000);
        let file = format!("\u{feff}one\r\ntwo\n{long}\n\nfive\0\nsix");
        let mut bytes = file.into_bytes();
        bytes.extend(b"\n\xff\xfe\nlast");
        let mut lines = Vec::new();
        let count = each_line(&mut &bytes[..], |number, line| {
            lines.push((number, line.map(str::to_owned).ok()));
        });
        assert_eq!(count.unwrap(), 8);
        let text: Vec<_> = lines.iter().map(|(_, line)| line.as_deref()).collect();
        assert_eq!(
            text,
            [
                Some("one"),
                Some("two"),
                None,
                Some(""),
                None,
                Some("six"),
                None,
                Some("last")
            ]
        );
    }
}
