//! Opening and holding a `WebSocket` by hand.

use super::wire::Wire;
use super::world::HOST;

/// A WebSocket that echoes, opened by hand.
pub(crate) fn websocket(mut wire: Wire, credential: &str) -> Wire {
    ask(&mut wire, credential);
    let answer = wire.until(b"\"method\"");
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
    assert!(echoes(&mut wire), "it goes on");
    wire
}

/// Asks for one, with these header fields, each with its end of line.
pub(crate) fn ask(wire: &mut Wire, credential: &str) {
    let head = format!(
        "GET /live HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{credential}\r\n"
    );
    wire.send(head.as_bytes());
}

/// Whether it goes on.
pub(crate) fn echoes(wire: &mut Wire) -> bool {
    wire.send(b"\x81\x81\0\0\0\0x") && wire.until(b"\x81\x01x").ends_with(b"\x81\x01x")
}

/// The status and reason of the close frame with which it ends.
pub(crate) fn goodbye(wire: &mut Wire) -> (u16, String) {
    let (rest, _) = wire.rest();
    let at = rest.windows(2).rposition(|two| two[0] == 0x88);
    let frame = &rest[at.expect("a close frame")..];
    let length = usize::from(frame[1]);
    assert_eq!(frame.len(), 2 + length, "it is the last of all");
    let status = u16::from_be_bytes([frame[2], frame[3]]);
    (status, String::from_utf8(frame[4..].to_vec()).unwrap())
}
