//! Session tickets with BoringSSL: sealed and opened by ourselves, as it would not say otherwise
//! whose session one holds.
//!
//! XChaCha20-Poly1305, whose nonces are long enough to be drawn: gateways share a key.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::tls::x509::{X509, X509Ref};

/// How long the keys of tickets are together: a name of 16 bytes, and the key that seals.
pub const TICKET_KEYS: usize = NAME + KEY;

/// What the keys of tickets are derived for: not for what OpenSSL seals with.
pub const TICKET_LABEL: &[u8] = b"keyferry session tickets of boringssl.v1\0";

const NAME: usize = 16;
const KEY: usize = 32;
const NONCE: usize = 24;
/// How much longer a ticket is than what it holds.
pub(super) const OVERHEAD: usize = NAME + NONCE + 16;

/// The longest session that a ticket holds, the whole chain of the client in it: with more, the
/// handshake itself would fail.
const LONGEST: usize = 16 * 1024;
/// A ticket that holds none, since one must be given: nobody opens it.
const NONE: &[u8] = b"no ticket";

/// Decides whether a session of the peer with this certificate, and what it sent with it, may be
/// resumed.
pub(super) type Judge = Box<dyn Fn(&X509Ref, Vec<X509>) -> bool + Send + Sync>;

/// How tickets are sealed, and which are taken.
pub(super) struct Tickets {
    name: [u8; NAME],
    cipher: XChaCha20Poly1305,
    pub(super) judge: Judge,
}

impl Tickets {
    pub(super) fn new(keys: &[u8; TICKET_KEYS], judge: Judge) -> Self {
        let (mut name, mut key) = ([0; NAME], [0; KEY]);
        let (first, rest) = keys.split_at(NAME);
        name.copy_from_slice(first);
        key.copy_from_slice(rest);
        Self {
            name,
            cipher: XChaCha20Poly1305::new(&key.into()),
            judge,
        }
    }

    /// A ticket that holds `session`, unless that is too long; none when there is no randomness.
    pub(super) fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > LONGEST {
            return Some(NONE.to_vec());
        }
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let sealed = Payload {
            msg: session,
            aad: &self.name,
        };
        let sealed = self.cipher.encrypt(&nonce.into(), sealed).ok()?;
        Some([&self.name[..], &nonce, &sealed].concat())
    }

    /// What a ticket holds that was sealed with this key; none for any other.
    pub(super) fn open(&self, ticket: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = ticket.strip_prefix(&self.name)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        let sealed = Payload {
            msg: sealed,
            aad: &self.name,
        };
        self.cipher.decrypt(&nonce, sealed).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r8_a_ticket_of_boringssl_opens_as_it_was_sealed_and_with_its_own_key_only() {
        let tickets = |byte| Tickets::new(&[byte; TICKET_KEYS], Box::new(|_, _| true));
        let own = tickets(1);
        let ticket = own.seal(b"a session").unwrap();
        assert_eq!(ticket.len(), b"a session".len() + OVERHEAD);
        assert_eq!(own.open(&ticket).unwrap().as_slice(), b"a session");
        let longest = own.seal(&[0; LONGEST]).unwrap();
        assert_eq!(own.open(&longest).unwrap().len(), LONGEST);
        let none = own.seal(&[0; LONGEST + 1]).unwrap();
        assert!(none.len() < OVERHEAD && own.open(&none).is_none());
        assert_ne!(own.seal(b"a session").unwrap(), ticket);
        assert_eq!(tickets(2).open(&ticket), None);
        for at in 0..ticket.len() {
            let mut altered = ticket.clone();
            altered[at] ^= 1;
            assert_eq!(own.open(&altered), None, "byte {at}");
            assert_eq!(own.open(&ticket[..at]), None, "cut at {at}");
        }
    }
}
