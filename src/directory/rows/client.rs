//! What is kept of a client.

use super::{Number, UNKNOWN, Version};
use crate::client::{ClientId, ClientRecord, ClientStatus, Tags};
use crate::directory::shards::Row;
use crate::directory::shared::Place;
use crate::store::Epoch;

/// A client, with the places of what it has or had.
#[derive(Clone)]
pub(in crate::directory) struct ClientRow {
    name: Name,
    pub(in crate::directory) has: Places,
    pub(in crate::directory) number: Number,
    /// None when it has none.
    pub(in crate::directory) tags: Option<Place>,
    /// [`Epoch::NONE`] while only something of the client's is known.
    version: Version,
    pub(in crate::directory) is_active: bool,
}

impl ClientRow {
    /// A client of which nothing is known.
    pub(in crate::directory) fn unknown(number: Number, id: &ClientId) -> Self {
        Self {
            name: Name::new(id.as_str()),
            has: Places::NONE,
            number,
            tags: None,
            version: Epoch::NONE.into(),
            is_active: false,
        }
    }

    pub(in crate::directory) fn with(
        self,
        version: Epoch,
        is_active: bool,
        tags: Option<Place>,
    ) -> Self {
        Self {
            version: version.into(),
            is_active,
            tags,
            ..self
        }
    }

    /// A record that makes this row, once the client is known.
    pub(in crate::directory) fn record(&self, tags: Tags) -> Option<ClientRecord> {
        let mut record = ClientRecord::new(self.id(), None, UNKNOWN);
        if !self.is_active {
            record.status = ClientStatus::Disabled { at: UNKNOWN };
        }
        record.tags = tags;
        self.is_known().then_some(record)
    }

    pub(in crate::directory) fn id(&self) -> ClientId {
        ClientId::known(self.name.as_str())
    }

    pub(in crate::directory) fn is(&self, id: &ClientId) -> bool {
        self.name.as_bytes() == id.as_str().as_bytes()
    }

    pub(in crate::directory) fn version(&self) -> Epoch {
        self.version.into()
    }

    pub(in crate::directory) fn is_known(&self) -> bool {
        self.version() != Epoch::NONE
    }
}

impl Row for ClientRow {
    fn place(&self) -> u32 {
        self.number.get()
    }
}

/// A client's name. Of a million short ones each would take more for being allocated than for what it
/// says.
#[derive(Clone)]
enum Name {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

/// As long as leaves the row as small as a pointer would.
const SHORT: usize = 22;

impl Name {
    fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(length), Some(begin)) => {
                begin.copy_from_slice(name.as_bytes());
                Self::Short { length, bytes }
            }
            _ => Self::Long(name.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(name) => name.as_bytes(),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(name) => name,
        }
    }
}

/// Where a client's rows stand, keys and certificates alike; mostly it is one of each.
#[derive(Clone)]
pub(in crate::directory) enum Places {
    Few([u32; 2]),
    Many(Box<[u32]>),
}

/// No row stands at it.
pub(super) const NOWHERE: u32 = 0;

impl Places {
    const NONE: Self = Self::Few([NOWHERE; 2]);

    pub(in crate::directory) fn get(&self) -> &[u32] {
        match self {
            Self::Few([NOWHERE, _]) => &[],
            Self::Few([one, NOWHERE]) => std::slice::from_ref(one),
            Self::Few(two) => two,
            Self::Many(all) => all,
        }
    }

    pub(in crate::directory) fn add(&mut self, place: u32) {
        *self = match self.get() {
            [] => Self::Few([place, NOWHERE]),
            [one] => Self::Few([*one, place]),
            some => Self::Many([some, &[place]].concat().into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_is_kept() {
        for length in 1..=64 {
            let name = "n".repeat(length);
            let kept = Name::new(&name);
            assert_eq!(kept.as_str(), name);
            assert_eq!(matches!(kept, Name::Short { .. }), length <= SHORT);
        }
    }

    #[test]
    fn places_are_kept_in_their_order() {
        let mut places = Places::NONE;
        for last in 1..=9 {
            places.add(last);
            assert_eq!(places.get(), (1..=last).collect::<Vec<_>>());
        }
    }
}
