//! Commands beside a running gateway.
//!
//! The embedded store's file belongs to one process at a time. A gateway that has it open listens
//! on a Unix domain socket next to it (`keyferry.redb.sock`) and answers there what it would
//! answer itself; a command that finds the file in use asks there. So a change that a command
//! makes is known to the gateway with its acknowledgement.
//!
//! Only the user that runs the gateway, and root, are answered: the socket has mode 0600, and the
//! system tells who asks.

mod client;
mod server;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use client::Client;
pub use server::{BindError, Listener};

use super::embedded::{Embedded, OpenError, Settings};
use super::{Store, StoreError};
use crate::{clock, socket};

/// How long a command waits for another command, or for a gateway that is starting.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits before it looks again.
const PAUSE: Duration = Duration::from_millis(50);

/// The socket next to the file `path`.
#[must_use]
pub fn socket_path(path: &Path) -> PathBuf {
    socket::beside(path, ".sock")
}

/// The embedded store: the file itself, or the gateway that has it open.
///
/// # Errors
///
/// [`OpenError`]; that it is in use only when whoever uses it does not answer either.
pub async fn open_embedded(settings: &Settings) -> Result<Arc<dyn Store>, OpenError> {
    let path = &settings.path;
    let begun = clock::monotonic();
    loop {
        match open(settings).await {
            Ok(store) => return Ok(Arc::new(store)),
            Err(OpenError::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
        let socket = socket_path(path);
        match Client::connect(&socket).await {
            Ok(client) => return Ok(Arc::new(client)),
            Err(error) if begun.elapsed() >= PATIENCE => {
                return Err(OpenError::Unreachable {
                    path: path.clone(),
                    socket,
                    why: match error {
                        StoreError::Unavailable(why) => why,
                        other => other.to_string(),
                    },
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn open(settings: &Settings) -> Result<Embedded, OpenError> {
    let owned = settings.clone();
    tokio::task::spawn_blocking(move || Embedded::open_with(&owned))
        .await
        .map_err(|error| OpenError::Damaged {
            path: settings.path.clone(),
            why: error.to_string(),
        })?
}
