//! Rows in memory: any number of threads read them without a lock while one writes.
//!
//! A million small allocations, and a table of pointers to them, would take more than the rows
//! themselves. So rows lie side by side in short lists, sorted by their place, and a list is
//! replaced as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

/// How many lists there are: of a million rows, each holds about 60. Of longer ones, those that were
/// replaced leave gaps in memory that nothing fits into.
const LISTS: usize = 1 << BITS;
/// Of tests' few rows, each list holds some as well.
const BITS: u32 = if cfg!(test) { 4 } else { 14 };

/// What is kept in [`Shards`].
pub(super) trait Row: Clone {
    /// Where it stands among the others. Places are spread evenly, and rows may share one.
    fn place(&self) -> u32;
}

/// Rows by their place.
pub(super) struct Shards<R> {
    lists: Box<[ArcSwapOption<Vec<R>>]>,
    len: AtomicUsize,
    is_shared: AtomicBool,
}

impl<R> Default for Shards<R> {
    fn default() -> Self {
        Self {
            lists: std::iter::repeat_with(ArcSwapOption::empty)
                .take(LISTS)
                .collect(),
            len: AtomicUsize::new(0),
            is_shared: AtomicBool::new(false),
        }
    }
}

impl<R: Row> Shards<R> {
    /// What `read` makes of the first row at `place` of which it makes something.
    pub(super) fn find<T>(&self, place: u32, read: impl FnMut(&R) -> Option<T>) -> Option<T> {
        let list = self.list(place)?.load();
        rows_at(list.as_ref()?, place).iter().find_map(read)
    }

    /// Calls `each` with every row at `place`.
    pub(super) fn each_at(&self, place: u32, mut each: impl FnMut(&R)) {
        let _: Option<()> = self.find(place, |row| {
            each(row);
            None
        });
    }

    /// Puts `row` in the place of the row that `is_same`, or beside the others. Only one thread
    /// does this.
    pub(super) fn put(&self, row: R, is_same: impl Fn(&R) -> bool) {
        let place = row.place();
        let Some(list) = self.list(place) else {
            return;
        };
        // While nobody else reads, the rows need not be copied.
        let known = if self.is_shared.load(Ordering::Relaxed) {
            list.load_full().map(|known| copied(&known))
        } else {
            list.swap(None).and_then(Arc::into_inner)
        };
        let mut rows = known.unwrap_or_default();
        let begin = begin_of(&rows, place);
        let at = rows_at(&rows, place).iter().position(is_same);
        if let Some(known) = at.and_then(|at| rows.get_mut(begin.saturating_add(at))) {
            *known = row;
        } else {
            if rows.len() == rows.capacity() {
                rows.reserve_exact(step(rows.len()));
            }
            rows.insert(begin, row);
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        list.store(Some(Arc::new(rows)));
    }

    /// From now on others read while rows are put.
    pub(super) fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Calls `each` with every row.
    pub(super) fn each(&self, mut each: impl FnMut(&R)) {
        for list in &self.lists {
            list.load()
                .iter()
                .flat_map(|rows| rows.iter())
                .for_each(&mut each);
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn list(&self, place: u32) -> Option<&ArcSwapOption<Vec<R>>> {
        let number = place >> (u32::BITS - BITS);
        self.lists.get(usize::try_from(number).ok()?)
    }
}

/// By how many rows a list of this length grows: longer ones by several, so that one takes the memory
/// that another one gave back.
const fn step(rows: usize) -> usize {
    (rows / 8).saturating_add(1)
}

/// The same rows, with room for another one.
fn copied<R: Row>(rows: &[R]) -> Vec<R> {
    let room = rows.len().saturating_add(1);
    let room = room.next_multiple_of(step(rows.len()));
    let mut copy = Vec::with_capacity(room);
    copy.extend_from_slice(rows);
    copy
}

/// Where `place` begins among the sorted `rows` of its list. Places are spread evenly, so it is looked
/// for from where it should be: halving would read rows that are far from each other in memory.
fn begin_of<R: Row>(rows: &[R], place: u32) -> usize {
    let within = u64::from(place.wrapping_shl(BITS));
    let share = within.saturating_mul(u64::try_from(rows.len()).unwrap_or(u64::MAX)) >> u32::BITS;
    let (before, after) = rows.split_at(usize::try_from(share).unwrap_or(0).min(rows.len()));
    let back = before.iter().rev().take_while(|row| row.place() >= place);
    let on = after.iter().take_while(|row| row.place() < place);
    before
        .len()
        .saturating_sub(back.count())
        .saturating_add(on.count())
}

/// Those of the sorted `rows` that stand at `place`.
fn rows_at<R: Row>(rows: &[R], place: u32) -> &[R] {
    let begin = begin_of(rows, place);
    let rest = rows.get(begin..).unwrap_or_default();
    let end = rest.iter().take_while(|row| row.place() == place).count();
    rest.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Row for (u32, u32) {
        fn place(&self) -> u32 {
            self.0
        }
    }

    proptest! {
        /// Few places, so that rows share lists and places.
        #[test]
        fn what_was_put_last_is_found(rows in proptest::collection::vec((0u32..8, 0u32..4, 0u32..9), 0..80), shared in 0usize..80) {
            let (shards, mut model) = (Shards::default(), BTreeMap::new());
            for (n, (place, id, value)) in rows.into_iter().enumerate() {
                if n == shared {
                    shards.share();
                }
                let place = place << 28 | place & 1;
                shards.put((place, id << 4 | value), |one: &(u32, u32)| one.1 >> 4 == id);
                model.insert((place, id), value);
            }
            prop_assert_eq!(shards.len(), model.len());
            for ((place, id), value) in &model {
                let found = shards.find(*place, |one| (one.1 >> 4 == *id).then_some(one.1 & 15));
                prop_assert_eq!(found, Some(*value));
            }
            let mut all = Vec::new();
            shards.each(|row| all.push(*row));
            prop_assert_eq!(all.len(), model.len());
            prop_assert_eq!(shards.find(3, |one| Some(*one)), None);
        }
    }
}
