//! How the gateway ends.

use super::{Builder, Built};
use crate::config::file::{self, StoreKind};
use crate::config::problem::KeyPath;
use crate::config::settings::Shutdown;

impl Builder<'_> {
    pub(super) fn shutdown(
        &mut self,
        typed: &file::Shutdown,
        store: Option<&file::Store>,
    ) -> Built<Shutdown> {
        let at = KeyPath::top("shutdown").key("upgrade_socket");
        let socket = typed.upgrade_socket.as_deref();
        let is_embedded = store.is_some_and(|store| store.kind == Some(StoreKind::Embedded));
        if socket.is_some() && is_embedded {
            let wrong = "the file of the embedded store belongs to one gateway at a time, so none \
                         can take over while another runs";
            let write = r#"take it away, or write store.kind = "redis""#;
            return Err(self.problem(&at, wrong, write));
        }
        let socket = socket.map(|path| self.file(&at, path, "keyferry.upgrade"));
        Ok(Shutdown {
            lame_duck: typed.lame_duck.as_duration(),
            drain_timeout: typed.drain_timeout.as_duration(),
            upgrade_socket: socket.transpose()?,
        })
    }
}
