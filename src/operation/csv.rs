//! Tables for spreadsheets and mail merge (RFC 4180).

/// The first row: the names of the columns, which are plain words.
pub(crate) fn header<const N: usize>(names: [&str; N]) -> String {
    format!("{}\r\n", names.join(","))
}

/// A row, with its end.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> String {
    format!("{}\r\n", cells.map(quoted).join(","))
}

/// A cell that a spreadsheet takes for text, whatever it begins with.
fn quoted(cell: &str) -> String {
    let is_formula =
        cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let apostrophe = if is_formula { "'" } else { "" };
    format!("\"{apostrophe}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_ends_its_row() {
        assert_eq!(quoted("acme"), "\"acme\"");
        assert_eq!(quoted("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(quoted("＝1+1"), "\"'＝1+1\"");
        assert_eq!(row(["a\",\"b\r\n", ""]), "\"a\"\",\"\"b\r\n\",\"\"\r\n");
    }
}
