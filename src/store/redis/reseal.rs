//! Signing anew, a page of a hash at a time.

use super::link::{Link, Script};
use super::{RECORDS, read};
use crate::store::{RecordId, RecordKeys, Reseal, Resealed, StoreError, Unreadable};

/// One page of one hash; `from` is what the step before gave as the next one.
pub(super) async fn step(
    link: &Link,
    script: &Script,
    keys: &RecordKeys,
    reseal: Reseal,
    from: Option<&str>,
) -> Result<Resealed, StoreError> {
    let (at, cursor) = match from {
        None => (0, 0),
        Some(text) => place(text).ok_or_else(|| Unreadable {
            what: "the place to go on".to_owned(),
            why: format!("{text:?} is none"),
        })?,
    };
    let Some((kind, hash)) = RECORDS.get(at) else {
        return Ok(Resealed::default());
    };
    let (next, fields): read::Page = link.ask(&read::page_question(hash, cursor)).await?;
    let mut found = Resealed::default();
    let mut arguments = Vec::new();
    for (name, stored) in fields {
        let name = String::from_utf8_lossy(&name);
        let id: Result<RecordId, _> = format!("{kind}:{name}").parse();
        let Ok(id) = id else {
            found.refuse();
            continue;
        };
        if let (Some(new), Ok(old)) = (
            found.look(&id, &stored, keys, reseal),
            String::from_utf8(stored),
        ) {
            arguments.extend([id.name(), old, new]);
        }
    }
    if !arguments.is_empty() {
        found.written = link.run(script, &[hash], &arguments).await?;
    }
    let (at, cursor) = match next {
        0 => (at.saturating_add(1), 0),
        next => (at, next),
    };
    found.next = (at < RECORDS.len()).then(|| format!("{at}:{cursor}"));
    Ok(found)
}

fn place(text: &str) -> Option<(usize, u64)> {
    let (at, cursor) = text.split_once(':')?;
    Some((at.parse().ok()?, cursor.parse().ok()?))
}
