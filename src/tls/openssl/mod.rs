//! OpenSSL, by the names that the rest of this program calls a TLS library by.

mod certificate;
mod handshake;
mod raw;
mod seal;
mod server;
mod session;

// What Pingora's own list leaves out; the very same library.
pub use openssl::{asn1, bn, derive, ec, ecdsa, rsa, sign, stack, symm};

pub use certificate::{
    DEMANDS_ALL, NO_CHECK_TIME, append, demand, fault, has_issued, is_over, oid, security_bits,
    set_flags,
};
pub use handshake::{
    Sent, TICKET_KEYS, TICKET_LABEL, distrust, judge, on_hello, reason, seal_tickets, set_groups,
    words,
};
pub use seal::{message, transported, wrapped};
pub use server::{demand_strength, demand_strength_of_peer};
pub use session::{KEEPS_SESSIONS, keep_sessions};
