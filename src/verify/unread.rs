//! The answer to what cannot be read as a request.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Guard, Refusal};
use crate::clock;
use crate::door::Refuse;
use crate::framing::Unreadable;

/// Answers and counts it.
pub struct Unread(pub Arc<Guard>);

impl Refuse for Unread {
    fn refuse(&self, why: Unreadable, peer: Option<SocketAddr>) -> Vec<u8> {
        let (refusal, request_id) = (Refusal::from(why), clock::unique().to_string());
        self.0.refused(&refusal, &request_id, peer);
        let (status, body) = (refusal.status(), refusal.document(&request_id));
        let name = self.0.verifier.load().names().request_id.clone();
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\n{name}: {request_id}\r\nConnection: close\r\n\r\n{body}",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        )
        .into_bytes()
    }
}
