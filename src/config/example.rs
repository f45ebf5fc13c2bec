//! conf/keyferry.toml, in its parts: each table of the top with its options and examples.

/// The whole file.
const FILE: &str = include_str!("../../conf/keyferry.toml");

/// What the file has of a table at the top and of those in it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// The table.
    pub(super) table: &'static str,
    text: &'static str,
}

/// The parts of the file, in its order.
#[must_use]
pub(super) fn sections() -> Vec<Section> {
    // Lines between the parts have nothing but these.
    let parts = FILE.split("\n# ----").skip(1);
    let parts = parts.filter_map(|text| {
        let header = text.lines().find_map(header)?;
        let table = header.split('.').next()?;
        Some(Section { table, text })
    });
    parts.collect()
}

impl Section {
    /// At which line the option is shown first, or explained in a list of those in a table.
    #[must_use]
    pub(super) fn position(&self, option: &str) -> Option<usize> {
        let mut lines = self.text.lines();
        lines.position(|line| {
            let words = line
                .strip_prefix("#   ")
                .filter(|rest| !rest.starts_with(' '));
            let listed = words.and_then(|words| words.split(' ').next());
            let inline = line.split_once('{').map(|(_, inner)| inner);
            let mut inner = inline.into_iter().flat_map(|inner| inner.split([',', '{']));
            [
                shown(line),
                listed,
                header(line).and_then(|name| name.rsplit('.').next()),
            ]
            .contains(&Some(option))
                || inner.any(|one| shown(one.trim()) == Some(option))
        })
    }

    /// Its options without what is said of them. Those that are not there by default are comments.
    #[must_use]
    pub(super) fn example(&self) -> String {
        let lines = self.text.lines();
        let lines = lines.filter(|line| header(line).is_some() || shown(line).is_some());
        let mut example = String::new();
        for line in lines {
            if header(line).is_some() && !example.is_empty() {
                example.push('\n');
            }
            example.push_str(line);
            example.push('\n');
        }
        example.trim_end().to_owned()
    }
}

/// The name of the table that begins with this line, also where it is a comment.
fn header(line: &'static str) -> Option<&'static str> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(name.trim_start_matches('[').trim_end_matches(']'))
}

/// The option that is set in this line, also where it is a comment.
fn shown(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let (name, _) = line.split_once(" = ")?;
    let is_name = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    (is_name(name) && !name.is_empty()).then_some(name)
}
