//! The one name for the TLS library's types, so that the library can be changed by a feature.
//!
//! Used only by `door`, `certificate`, `masquerade`, `upstream`, the store in Redis, the demo's own
//! certificate authority, and `doctor`.

pub use pingora::tls::*;

// What Pingora's own list leaves out; the very same library.
pub use openssl::{
    asn1, bn, cipher, cipher_ctx, cms, derive, ec, ecdsa, ex_data, md, pkey_ctx, rsa, sign, stack,
    symm,
};

pub mod raw;
