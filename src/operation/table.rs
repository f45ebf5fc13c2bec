//! Text for people: tables that fit the terminal, times as one speaks of them.

use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Table, presets};

use crate::clock::Timestamp;
use crate::text::is_hostile;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A table without lines. On a terminal its cells are wrapped to fit, except the first of each row,
/// which one may want to copy; elsewhere every row is one line.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.map(|name| Cell::new(name).add_attribute(Attribute::Bold)))
        .add_rows(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

/// Lines of a name and what it stands for.
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines = fields.into_iter().map(|(name, value)| {
        let value = printable(&value);
        format!("{name:<15} {value}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `text` without what would steer a terminal or deceive a reader.
pub(crate) fn printable(text: &str) -> String {
    text.replace(is_hostile, "\u{fffd}")
}

/// A moment as seen from `now`: `3 min ago`, `in 12 days`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.seconds_since(now);
    let (number, unit) = match seconds.unsigned_abs() {
        seconds if seconds < MINUTE => (seconds, "s"),
        seconds if seconds < HOUR => (seconds / MINUTE, "min"),
        seconds if seconds < 2 * DAY => (seconds / HOUR, "h"),
        seconds => (seconds / DAY, "days"),
    };
    if seconds <= 0 {
        format!("{number} {unit} ago")
    } else {
        format!("in {number} {unit}")
    }
}

/// [`relative`], or `otherwise` without a moment.
pub(crate) fn relative_or(at: Option<Timestamp>, now: Timestamp, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), |at| relative(at, now))
}

/// A number with its thousands apart: `5,034`.
pub(crate) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many there are of what: `1 route`, `2 routes`.
pub(crate) fn how_many(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Counts one more.
pub(crate) fn add_one(counter: &mut usize) {
    *counter = counter.saturating_add(1);
}

/// [`number`], of what is counted in 64 bits.
pub(crate) fn count(count: u64) -> String {
    number(usize::try_from(count).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_plain_text_and_no_cell_steers_the_terminal() {
        let text = table(
            ["client", "stage"],
            [["a\u{1b}[2J\u{202e}".into(), "dual".into()]],
        );
        assert_eq!(text, "client  stage\na\u{fffd}[2J\u{fffd}  dual");
        for c in "\n\u{9b}\u{61c}\u{200b}\u{2028}\u{2029}".chars() {
            assert_eq!(printable(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
    }

    #[test]
    fn times_and_numbers_read_well() {
        let now = Timestamp::from_unix(1_000_000);
        let at = |seconds: i64| relative(Timestamp::from_unix(1_000_000 + seconds), now);
        assert_eq!(at(-190), "3 min ago");
        assert_eq!(at(-36 * 3600), "36 h ago");
        assert_eq!(at(12 * 86_400), "in 12 days");
        assert_eq!(relative_or(None, now, "never"), "never");
        assert_eq!(
            [0, 999, 5034, 1_234_567].map(number),
            ["0", "999", "5,034", "1,234,567"]
        );
    }
}
