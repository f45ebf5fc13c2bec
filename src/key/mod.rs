//! API keys: their text form, their digest, their record.
//!
//! A clear [`ApiKey`] lives from the request's header to its digest, or from [`ApiKey::generate`]
//! to the one answer that shows it. Everything that is stored is a [`Digest`].

mod change;
mod claim;
mod digest;
mod format;
mod id;
mod issue;
mod receipt;
mod record;
mod restore;
mod rotate;

pub use change::{digest_anew, revoke};
pub use claim::{Claim, Claimed};
pub use digest::{Digest, Pepper, PepperVersion, Peppers};
pub(crate) use digest::{is_same_key, keyed};
pub use format::{ApiKey, Format, Malformed, NotAFormat};
pub use id::{KeyId, NotAKeyId};
pub use issue::{NotIssued, Wish, issue};
pub use receipt::{IdempotencyToken, NotAToken};
pub use record::{KeyFault, KeyRecord, KeyStatus, NotAScope, Receipt, RevokedBy, Scope};
pub use restore::{NotRestored, restore};
pub use rotate::{NotAnOverlap, NotRotated, Overlap, Retry, Rotated, Rotation};
