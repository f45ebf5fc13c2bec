//! Where the operator's questions are answered.

use std::net::SocketAddr;

use super::{Builder, Built};
use crate::config::file::File;
use crate::config::problem::KeyPath;

impl Builder<'_> {
    pub(super) fn admin(&mut self, file: &File) -> Built<Option<SocketAddr>> {
        let Some(typed) = &file.admin else {
            return Ok(None);
        };
        let at = KeyPath::top("admin").key("address");
        let text = typed.address.clone();
        let text = self.required(&at, text, r#"write address = "127.0.0.1:9443""#)?;
        let address = self.socket(&at, &text)?;
        if !address.ip().to_canonical().is_loopback() {
            let wrong = format!(
                "{text:?} can be reached from other machines, and nobody is asked who they are there"
            );
            let write = format!("write \"127.0.0.1:{}\"", address.port());
            return Err(self.problem(&at, wrong, write));
        }
        let listener = file.listener.as_ref().and_then(|l| l.address.as_ref());
        let others = [listener, Some(&file.telemetry.address)];
        if others.into_iter().flatten().any(|other| *other == text) {
            let wrong = "this is the address of another listener";
            return Err(self.problem(&at, wrong, "use another port"));
        }
        Ok(Some(address))
    }
}
