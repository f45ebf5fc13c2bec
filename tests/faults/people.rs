//! Who calls, and what they may be told.

use std::net::SocketAddr;

use keyferry::key::KeyId;

use crate::support::key::forged;
use crate::support::pki::leaf;
use crate::support::wire::{Answer, Shown, Tls, Wire};
use crate::support::world::World;

pub(crate) const SELF_SERVICE: &str = "/.well-known/keyferry/";
pub(crate) const DAY: i64 = 86_400;

/// Who somebody is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Was known before the fault.
    Known,
    /// Has a key that was revoked, and the gateway knows.
    Revoked,
    /// Has a key that was revoked elsewhere, and the gateway never said that it knows.
    Untold,
    /// Has a key that nobody was given.
    Unknown,
    /// Has a certificate that was never seen, or a key that was issued just now.
    New,
    /// Has a key that was issued just now, and that the store may have lost.
    Lost,
    /// Asks for a key to be issued or revoked.
    Asking,
}

/// Somebody who calls one gateway, on a connection that is kept.
pub(crate) struct Caller<'a> {
    tls: &'a Tls,
    to: SocketAddr,
    shown: Option<Shown>,
    wire: Option<Wire>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(tls: &'a Tls, to: SocketAddr, shown: Option<Shown>) -> Self {
        Self {
            tls,
            to,
            shown,
            wire: None,
        }
    }

    /// Calls once; again on another connection when the gateway has ended this one since.
    ///
    /// # Errors
    ///
    /// When there is no answer on a connection that was made for it.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
    ) -> Result<Answer, String> {
        let fields: Vec<_> = key
            .map(|key| format!("Authorization: Bearer {key}"))
            .into_iter()
            .collect();
        let kept = self.wire.take();
        let answered = kept.and_then(|mut wire| {
            let answer = wire.call(method, path, &fields).ok()?;
            Some((answer, wire))
        });
        let (answer, wire) = if let Some(answered) = answered {
            answered
        } else {
            let mut wire = self.tls.connect(self.to, self.shown.as_ref())?;
            (wire.call(method, path, &fields)?, wire)
        };
        let is_last = answer.header("connection") == Some("close");
        self.wire = Some(wire).filter(|_| !is_last);
        Ok(answer)
    }
}

/// A new certificate, valid also when a clock is a day off.
pub(crate) fn certificate(world: &World, name: &str) -> Shown {
    let spec = leaf(name).dates(-10 * DAY, 10 * DAY);
    Shown {
        issued: spec.signed_by(&world.clients),
        whole: true,
    }
}

/// Fetches the first key of a new client.
pub(crate) fn claim(
    tls: &Tls,
    to: SocketAddr,
    world: &World,
    name: &str,
) -> Result<Answer, String> {
    let shown = certificate(world, name);
    let mut wire = tls.connect(to, Some(&shown))?;
    wire.call("POST", &format!("{SELF_SERVICE}key"), &[])
}

/// Revokes the key, by itself.
pub(crate) fn revoke(caller: &mut Caller<'_>, key: &str) -> Result<Answer, String> {
    let path = format!("{SELF_SERVICE}keys/{}", id(key));
    caller.call("DELETE", &path, Some(key))
}

/// The public part of a key.
pub(crate) fn id(key: &str) -> &str {
    key.split('_').nth(2).expect("a key of our shape")
}

/// A whole key that nobody was given.
pub(crate) fn stranger() -> String {
    forged(&KeyId::generate().to_string())
}
