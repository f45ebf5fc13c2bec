//! When what a client has ends by itself.

use crate::clock::Timestamp;

/// When what a client has ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The end of the last of its certificates; none when it has none, or one of unknown end.
    pub certificates: Option<Timestamp>,
    /// The end of the last of its keys that can be used; none when one of them stays good.
    pub keys: Option<Timestamp>,
}

/// The last of some ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Last {
    /// There is none.
    #[default]
    None,
    At(Timestamp),
    /// One never comes, or it is not known when.
    Never,
}

impl Last {
    pub(super) fn add(&mut self, end: Option<Timestamp>) {
        *self = match (*self, end) {
            (Self::Never, _) | (_, None) => Self::Never,
            (Self::None, Some(end)) => Self::At(end),
            (Self::At(last), Some(end)) => Self::At(last.max(end)),
        };
    }
}

impl From<Last> for Option<Timestamp> {
    fn from(last: Last) -> Self {
        match last {
            Last::At(at) => Some(at),
            Last::None | Last::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_end_counts_and_what_never_ends_comes_after_all() {
        let at = |second| Some(Timestamp::from_unix(second));
        for (ends, last) in [
            (vec![], None),
            (vec![at(1), at(3), at(2)], at(3)),
            (vec![at(1), None], None),
            (vec![None, at(1)], None),
        ] {
            let mut found = Last::default();
            for end in ends {
                found.add(end);
            }
            assert_eq!(Option::from(found), last);
        }
    }
}
