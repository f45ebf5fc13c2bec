//! The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1).
//!
//! Nothing of a session is kept here: a ticket holds it, sealed. One key seals for half a day, and
//! then there is another. So a key that leaks opens half a day.

use hmac::Mac as _;

use super::resumption::Period;
use crate::clock::Timestamp;
use crate::key::keyed;
use crate::secret::{Secret, SecretBytes};
use crate::tls::{TICKET_KEYS, TICKET_LABEL};

/// The key of one period.
pub(super) struct TicketKey {
    period: Period,
    /// What it is derived from, when it is shared.
    shared: Option<SecretBytes>,
    keys: Secret<[u8; TICKET_KEYS]>,
}

impl TicketKey {
    /// The key of the period of `now`: the same for all that have the secret `shared`, and
    /// otherwise one that nobody else has.
    pub(super) fn new(
        shared: Option<&SecretBytes>,
        now: Timestamp,
    ) -> Result<Self, getrandom::Error> {
        let period = Period::of(now);
        let mut keys = [0; TICKET_KEYS];
        match shared {
            Some(secret) => derive(secret, period, &mut keys),
            None => getrandom::fill(&mut keys)?,
        }
        Ok(Self {
            period,
            shared: shared.cloned(),
            keys: Secret::new(keys),
        })
    }

    /// Whether it is the one to go on with at `now`.
    pub(super) fn is_for(&self, shared: Option<&SecretBytes>, now: Timestamp) -> bool {
        let is_same = match (&self.shared, shared) {
            (Some(own), Some(other)) => own.expose() == other.expose(),
            (own, other) => own.is_none() && other.is_none(),
        };
        is_same && self.period == Period::of(now)
    }

    pub(super) fn keys(&self) -> &[u8; TICKET_KEYS] {
        self.keys.expose()
    }
}

/// NIST SP 800-108, in counter mode.
fn derive(secret: &SecretBytes, period: Period, keys: &mut [u8; TICKET_KEYS]) {
    let keyed = keyed(secret.expose());
    for (counter, part) in (1u8..).zip(keys.chunks_mut(32)) {
        let mac = keyed
            .clone()
            .chain_update([counter])
            .chain_update(TICKET_LABEL)
            .chain_update(period.to_be_bytes());
        for (byte, derived) in part.iter_mut().zip(mac.finalize().into_bytes()) {
            *byte = derived;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_unix(1_795_392_000).plus(Duration::from_hours(hours))
    }

    #[test]
    fn r8_whoever_shares_the_secret_has_the_same_key_for_half_a_day() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        let (ours, foreign) = (secret("one"), secret("other"));
        let key = |secret, hours| TicketKey::new(secret, at(hours)).unwrap();
        let first = key(Some(&ours), 0);
        assert_eq!(first.keys(), key(Some(&ours), 11).keys());
        assert_ne!(first.keys(), key(Some(&ours), 12).keys());
        assert_ne!(first.keys(), key(Some(&foreign), 0).keys());
        assert_ne!(
            key(None, 0).keys(),
            key(None, 0).keys(),
            "its own is nobody else's"
        );
        let [one, two, ..] = first.keys().as_chunks::<16>().0 else {
            panic!("five parts");
        };
        assert_ne!(one, two);
        assert!(first.is_for(Some(&ours), at(11)) && !first.is_for(Some(&ours), at(12)));
        assert!(!first.is_for(Some(&foreign), at(0)) && !first.is_for(None, at(0)));
        let own = key(None, 0);
        assert!(own.is_for(None, at(11)) && !own.is_for(None, at(12)));
    }
}
