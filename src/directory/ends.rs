//! When what a client has ends by itself.

use super::View;
use crate::certificate::{Fingerprint, Mapping};
use crate::client::ClientId;
use crate::clock::Timestamp;

/// When what a client has ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The end of the last of its certificates; none when it has none, or one of unknown end.
    pub certificates: Option<Timestamp>,
    /// The end of the last of its keys that can be used; none when one of them stays good.
    pub keys: Option<Timestamp>,
}

impl Ends {
    /// When what `client` has at `now` ends.
    #[must_use]
    pub fn of(view: &View, client: &ClientId, now: Timestamp) -> Self {
        let belongings = view.belongings(client);
        let is_own = |id: &&Fingerprint| matches!(view.certificate(id), Some(Mapping::Mapped { client: owner, .. }) if owner == *client);
        let certificates = belongings.certificates.iter().filter(is_own);
        let keys = belongings.keys.iter().filter_map(|id| view.key(id));
        let usable = keys.filter(|key| key.is_issued() && key.usable(now).is_ok());
        Self {
            certificates: last(certificates.map(|id| view.not_after(id))),
            keys: last(usable.map(|key| key.expires_at())),
        }
    }
}

/// The last of `ends`; none when there is none, or when one never comes.
fn last(mut ends: impl Iterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    let first = ends.next()??;
    ends.try_fold(first, |last, end| Some(last.max(end?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_end_counts_and_what_never_ends_comes_after_all() {
        let at = |second| Some(Timestamp::from_unix(second));
        assert_eq!(last([].into_iter()), None);
        assert_eq!(last([at(1), at(3), at(2)].into_iter()), at(3));
        assert_eq!(last([at(1), None].into_iter()), None);
        assert_eq!(last([None, at(1)].into_iter()), None);
    }
}
