//! One gateway takes over from another on the same machine, and no connection is refused meanwhile.
//!
//! The one that runs waits at `shutdown.upgrade_socket`. The one that is to follow, `keyferry run
//! --upgrade`, starts up to the point where it could serve, and asks there for the listening sockets;
//! from then on both hold them, and the one that runs goes on accepting. Only when the other says that
//! it serves does it stop; when that one goes away instead, nothing has happened.
//!
//! ```text
//! follower → keyferry-sockets 1 0.0.0.0:8443 127.0.0.1:9090\n
//! runner   → 0.0.0.0:8443 127.0.0.1:9090\n      with the sockets, in that order (SCM_RIGHTS)
//! follower → serving\n
//! ```
//!
//! It is the socket hand-over of Pingora, whose table of sockets (`ListenFds`) it reads and fills,
//! with another conversation: Pingora's own has the one that runs end in any case, and takes sockets
//! from whoever comes first.

mod give;
mod take;

pub(super) use give::Give;
pub use take::NotGiven;
pub(super) use take::{TakeOver, Taken, ask};

/// How a question begins.
const QUESTION: &str = "keyferry-sockets 1";
/// What the follower says once it serves.
const SERVING: &str = "serving\n";
/// The longest line, and more than any needs.
const LINE: usize = 1024;
/// As many sockets as can be handed over.
const SOCKETS: usize = 8;
