//! The header of the PROXY protocol, in which a balancer in front tells who calls.
//!
//! Both versions of <https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt>, read by ourselves:
//! the crate `ppp` takes ports such as `+80`, and leaves checksums to whoever calls it. What follows
//! the header is put back to the byte, since the handshake begins there.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use bytes::BufMut as _;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::{GetSocketDigest as _, SocketDigest};
use tokio::io::AsyncReadExt as _;

use super::failure::Failure;
use crate::policy::Network;

/// How version 1 begins.
const TEXT: &[u8] = b"PROXY ";
/// How long version 1 can be, with its line end (section 2.1).
const LONGEST_TEXT: usize = 107;
/// How version 2 begins (section 2.2).
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// How long the part of version 2 is that tells the length of the rest.
const BINARY_HEAD: usize = 16;
/// How long that rest may be. Addresses take 36 bytes; balancers add names and certificates.
const LONGEST_REST: usize = 4080;
/// The most that is read: version 2 at its longest.
const LONGEST: usize = 4096;
/// How much room there is at first: enough for nearly all.
const USUAL: usize = 256;
/// The type of the value that is a checksum (section 2.2.4).
const CHECKSUM: u8 = 0x03;

const MALFORMED: Failure = Failure::ProxyHeaderMalformed;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it has.
    pub length: usize,
    /// None when the balancer calls for itself, or does not know who calls.
    pub caller: Option<SocketAddr>,
}

/// None when it takes more bytes to say.
pub type Reading = Result<Option<Header>, Failure>;

/// Takes the header off the beginning of `tcp`, which must come from one of the `balancers`. From
/// then on `tcp` comes from whom the header names, for everybody who asks.
///
/// # Errors
///
/// Why the connection is not to be trusted.
pub(super) async fn take(
    tcp: &mut Stream,
    balancers: &[Network],
) -> Result<Option<SocketAddr>, Failure> {
    let digest = tcp.get_socket_digest();
    let peer = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
    if !peer.is_some_and(|peer| balancers.iter().any(|network| network.contains(peer))) {
        return Err(Failure::ProxyUnlisted);
    }
    let mut bytes = Vec::with_capacity(USUAL);
    let header = loop {
        if let Some(header) = read(&bytes)? {
            break header;
        }
        let free = LONGEST.saturating_sub(bytes.len());
        let more = tcp.read_buf(&mut (&mut bytes).limit(free)).await;
        if matches!(more, Ok(0) | Err(_)) {
            return Err(Failure::ClosedBeforeHello);
        }
    };
    tcp.rewind(bytes.get(header.length..).unwrap_or_default());
    if let Some(caller) = header.caller {
        let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
        // A new one has no address yet, so there is none to keep.
        let _ = digest.peer_addr.set(Some(caller.into()));
        tcp.set_socket_digest(digest);
    }
    Ok(header.caller)
}

/// The header that `bytes` begin with.
///
/// # Errors
///
/// When they begin with none, or with one that is broken.
pub fn read(bytes: &[u8]) -> Reading {
    if bytes.starts_with(TEXT) {
        text(bytes)
    } else if bytes.starts_with(BINARY) {
        binary(bytes)
    } else if TEXT.starts_with(bytes) || BINARY.starts_with(bytes) {
        Ok(None)
    } else {
        Err(Failure::ProxyHeaderMissing)
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n`.
fn text(bytes: &[u8]) -> Reading {
    let most = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
    let Some(end) = most.windows(2).position(|pair| pair == b"\r\n") else {
        return if most.len() < LONGEST_TEXT {
            Ok(None)
        } else {
            Err(MALFORMED)
        };
    };
    let line = std::str::from_utf8(most.get(..end).unwrap_or_default()).map_err(|_| MALFORMED)?;
    let words: Vec<_> = line.split(' ').collect();
    let caller = match words.as_slice() {
        ["PROXY", family, from, to, from_port, to_port] if *family != "UNKNOWN" => {
            endpoint(family, to, to_port).ok_or(MALFORMED)?;
            Some(endpoint(family, from, from_port).ok_or(MALFORMED)?)
        }
        // What else stands there is to be ignored.
        ["PROXY", "UNKNOWN", ..] => None,
        _ => return Err(MALFORMED),
    };
    let length = end.saturating_add(2);
    Ok(Some(Header { length, caller }))
}

fn endpoint(family: &str, address: &str, port: &str) -> Option<SocketAddr> {
    let address: IpAddr = address.parse().ok()?;
    let fits = match address {
        IpAddr::V4(_) => family == "TCP4",
        IpAddr::V6(_) => family == "TCP6",
    };
    let is_plain =
        port.bytes().all(|b| b.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    let port = port.parse().ok().filter(|_| is_plain)?;
    fits.then(|| SocketAddr::new(address, port))
}

/// Version 2: a command, a family, and a length; then addresses and values.
fn binary(bytes: &[u8]) -> Reading {
    let Some(([.., command, family, high, low], rest)) = bytes.split_first_chunk::<BINARY_HEAD>()
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST_REST {
        return Err(MALFORMED);
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(None);
    };
    let length = BINARY_HEAD.saturating_add(length);
    let whole = bytes.get(..length).unwrap_or_default();
    // The upper half is the version.
    let caller = match command {
        0x21 => proxied(*family, whole, rest)?,
        // Of a connection of the balancer's own, what else stands there is to be ignored.
        0x20 => None,
        _ => return Err(MALFORMED),
    };
    Ok(Some(Header { length, caller }))
}

/// Who calls, by the `rest` of a `whole` header.
fn proxied(family: u8, whole: &[u8], rest: &[u8]) -> Result<Option<SocketAddr>, Failure> {
    let (caller, values) = match family {
        0x00 => (None, rest),
        0x11 => source::<4>(rest).ok_or(MALFORMED)?,
        0x21 => source::<16>(rest).ok_or(MALFORMED)?,
        // Datagrams and Unix sockets do not come to a listener of TCP.
        _ => return Err(MALFORMED),
    };
    if are_whole(values, whole) {
        Ok(caller)
    } else {
        Err(MALFORMED)
    }
}

/// The first of two addresses of `N` bytes, with its port, and what follows both.
fn source<const N: usize>(bytes: &[u8]) -> Option<(Option<SocketAddr>, &[u8])>
where
    [u8; N]: Into<IpAddr>,
{
    let (source, bytes) = bytes.split_first_chunk::<N>()?;
    let (_destination, bytes) = bytes.split_first_chunk::<N>()?;
    let ([high, low, _, _], values) = bytes.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([*high, *low]);
    Some((Some(SocketAddr::from((*source, port))), values))
}

/// Whether the `values` at the end of a header fill it exactly, and its checksum is right if it has
/// one.
fn are_whole(mut values: &[u8], header: &[u8]) -> bool {
    let mut checked = false;
    while !values.is_empty() {
        let Some(([kind, high, low], rest)) = values.split_first_chunk::<3>() else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            return false;
        };
        // A second one would only be work.
        if *kind == CHECKSUM
            && (std::mem::replace(&mut checked, true) || !is_sum(value, header, rest))
        {
            return false;
        }
        values = rest;
    }
    true
}

/// Whether `sum`, which stands before `rest` in `header`, is the checksum of it. For that, it counts
/// as four bytes of zero.
fn is_sum(sum: &[u8], header: &[u8], rest: &[u8]) -> bool {
    let before = header.len().saturating_sub(rest.len()).saturating_sub(4);
    let before = header.iter().take(before);
    let bytes = before.chain(&[0; 4]).chain(rest).copied();
    sum == crc32c(bytes).to_be_bytes()
}

/// The checksum of Castagnoli (RFC 9260 appendix A).
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let shift = |sum: u32, _| {
        let flip = if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
        (sum >> 1) ^ flip
    };
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), shift)
    })
}

#[cfg(test)]
mod tests;
