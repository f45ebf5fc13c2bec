//! What many rows have in common, such as tags: kept once, and read without a lock.

use std::collections::HashMap as Map;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use papaya::HashMap;

/// The place of a value, counted from 1: what a row keeps of it.
pub(super) type Place = NonZero<u32>;

/// Values, each once. None is ever taken away.
pub(super) struct Shared<T> {
    values: HashMap<Place, Arc<T>, RandomState>,
    /// For whoever writes.
    places: Mutex<Map<Arc<T>, Place, RandomState>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            values: HashMap::default(),
            places: Mutex::default(),
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            values: self.values.clone(),
            places: Mutex::new(places.clone()),
        }
    }
}

impl<T: Eq + Hash> Shared<T> {
    /// The place of `value`.
    pub(super) fn place(&self, value: Arc<T>) -> Option<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(&value) {
            return Some(*place);
        }
        let before = u32::try_from(places.len()).ok()?;
        let place = Place::MIN.checked_add(before)?;
        self.values.pin().insert(place, Arc::clone(&value));
        places.insert(value, place);
        Some(place)
    }

    /// What `read` makes of the value at `place`.
    pub(super) fn read<R>(&self, place: Place, read: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        self.values.pin().get(&place).map(read)
    }
}
