//! The identity that a backend sees, signed with HTTP Message Signatures (RFC 9421).

mod base;
mod forged;
pub mod header;
pub mod jwks;
mod key;
mod signer;
mod verifier;

pub use forged::{Confused, are_confused, confused, forged, tried};
pub use header::Names;
pub use key::{Algorithm, KeyFault, SigningKey, VerifyingKey};
pub use signer::{Message, SignError, Signed, Signer};
pub use verifier::{Invalid, Mark, Verifier, Vouched};

/// The label of our signature in `Signature-Input` and `Signature`.
pub const LABEL: &str = "gw";
/// The tag that says what the signature is for (RFC 9421 section 2.3).
pub const TAG: &str = "keyferry";
/// How long a signature is good, in seconds: for the way to the backend, not for keeping.
pub const LIFETIME: i64 = 60;

#[cfg(test)]
pub(crate) mod tests;
