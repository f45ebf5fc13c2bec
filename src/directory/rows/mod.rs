//! What is kept of a record: what a request needs, as small as it goes, since there may be millions.
//! A row names its client by its [`Number`], and what many rows have in common by its
//! [`Place`](super::shared::Place); what is read of it has names again.

mod certificate;
mod client;
mod key;

use std::num::NonZero;

pub(super) use certificate::{CertificateEntry, CertificateRow, Link};
pub(super) use client::ClientRow;
pub use key::KeyEntry;
pub(super) use key::{KeyRow, place_of_key};

use crate::clock::Timestamp;
use crate::store::Epoch;

/// When something was made that a request need not know.
pub(super) const UNKNOWN: Timestamp = Timestamp::from_unix(0);

/// A client's number: the place of its row, which it has alone.
pub(super) type Number = NonZero<u32>;

/// A moment of which only the second matters, up to the year 2106; or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Second(u32);

impl Second {
    const NONE: Self = Self(0);
}

impl From<Timestamp> for Second {
    fn from(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_unix().max(1)).unwrap_or(u32::MAX))
    }
}

impl From<Option<Timestamp>> for Second {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Self::NONE, Self::from)
    }
}

impl From<Second> for Option<Timestamp> {
    fn from(Second(second): Second) -> Self {
        (second != 0).then(|| Timestamp::from_unix(second.into()))
    }
}

/// An [`Epoch`] in six bytes, which is enough up to [`Epoch::LAST`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Version([u8; 6]);

impl From<Epoch> for Version {
    fn from(Epoch(epoch): Epoch) -> Self {
        Self(packed(epoch))
    }
}

impl From<Version> for Epoch {
    fn from(Version(bytes): Version) -> Self {
        Self(unpacked(bytes))
    }
}

/// A [`Second`] that may be far away, since somebody wrote that it is; or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct End([u8; 5]);

impl From<Option<Timestamp>> for End {
    fn from(at: Option<Timestamp>) -> Self {
        let second = at.map_or(0, |at| at.as_unix().max(1));
        Self(packed(second.unsigned_abs()))
    }
}

impl From<End> for Option<Timestamp> {
    fn from(End(bytes): End) -> Self {
        let second = i64::try_from(unpacked(bytes)).unwrap_or(i64::MAX);
        (second != 0).then(|| Timestamp::from_unix(second))
    }
}

/// A number in so many bytes; the largest when it is larger.
fn packed<const BYTES: usize>(number: u64) -> [u8; BYTES] {
    let bytes = number.to_be_bytes();
    let last = *bytes.last_chunk().unwrap_or(&[u8::MAX; BYTES]);
    if unpacked(last) == number {
        last
    } else {
        [u8::MAX; BYTES]
    }
}

fn unpacked<const BYTES: usize>(last: [u8; BYTES]) -> u64 {
    let mut bytes = [0; 8];
    if let Some(place) = bytes.last_chunk_mut() {
        *place = last;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each there are as many as there are identities: a field more is a million times that.
    #[test]
    fn rows_are_small() {
        let sizes = [
            size_of::<ClientRow>(),
            size_of::<CertificateRow>(),
            size_of::<KeyRow>(),
        ];
        assert_eq!(sizes, [56, 80, 80]);
    }

    #[test]
    fn a_second_is_kept_or_none_is() {
        let kept = |at| Option::<Timestamp>::from(Second::from(Timestamp::from_unix(at)));
        for (at, second) in [
            (1_800_000_000, 1_800_000_000),
            (-5, 1),
            (i64::MAX, u32::MAX.into()),
        ] {
            assert_eq!(kept(at), Some(Timestamp::from_unix(second)));
        }
        assert_eq!(Option::<Timestamp>::from(Second::NONE), None);
    }

    #[test]
    fn an_end_is_kept_however_far_away() {
        let kept = |at| Option::<Timestamp>::from(End::from(at));
        assert_eq!(kept(None), None);
        // The last is the end of the year 9999.
        for (at, second) in [
            (-5, 1),
            (1_800_000_000, 1_800_000_000),
            (253_402_300_799, 253_402_300_799),
        ] {
            let kept = kept(Some(Timestamp::from_unix(at)));
            assert_eq!(kept, Some(Timestamp::from_unix(second)));
        }
        assert!(
            kept(Some(Timestamp::from_unix(i64::MAX)))
                > kept(Some(Timestamp::from_unix(253_402_300_799)))
        );
    }

    #[test]
    fn a_version_is_kept_up_to_the_last() {
        let kept = |epoch| Epoch::from(Version::from(Epoch(epoch))).0;
        for epoch in [0, 1, 255, 256, 1 << 40, Epoch::LAST.0] {
            assert_eq!(kept(epoch), epoch);
        }
        assert_eq!(kept(Epoch::LAST.0 + 1), Epoch::LAST.0);
    }
}
