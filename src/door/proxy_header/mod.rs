//! The header of the PROXY protocol, in which a balancer in front tells who calls.
//!
//! Both versions of <https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt>, read by ourselves:
//! the crate `ppp` takes ports such as `+80`, and leaves checksums to whoever calls it. What follows
//! the header is put back to the byte, since the handshake begins there.

mod values;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use bytes::BufMut as _;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::{GetSocketDigest as _, SocketDigest};
use tokio::io::AsyncReadExt as _;

use super::connection::Through;
use super::failure::Failure;
use super::notes::Notes;
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

const MALFORMED: Failure = Failure::ProxyHeaderMalformed;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// How many bytes it has.
    pub length: usize,
    /// None when the balancer calls for itself, or does not know who calls.
    pub caller: Option<SocketAddr>,
    /// The certificate that the caller proved to the balancer just now.
    pub certificate: Option<&'a [u8]>,
}

/// None when it takes more bytes to say.
pub type Reading<'a> = Result<Option<Header<'a>>, Failure>;

/// Who calls, and the values that follow.
type Named<'a> = (Option<SocketAddr>, &'a [u8]);

/// Takes the header off the beginning of `tcp`, which must come from one of the `balancers`. From
/// then on `tcp` comes from whom the header names, for everybody who asks, and `notes` have both.
///
/// # Errors
///
/// Why the connection is not to be trusted.
pub(super) async fn take(
    tcp: &mut Stream,
    balancers: &[Network],
    notes: &Notes,
) -> Result<(), Failure> {
    let digest = tcp.get_socket_digest();
    let peer = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
    let is_listed = |peer: &IpAddr| balancers.iter().any(|network| network.contains(*peer));
    let address = peer.filter(is_listed).ok_or(Failure::ProxyUnlisted)?;
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
    notes.note_through(Through {
        address,
        certificate: header.certificate.map(<[u8]>::to_vec),
    });
    if let Some(caller) = header.caller {
        notes.note_caller(caller);
        let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
        // A new one has no address yet, so there is none to keep.
        let _ = digest.peer_addr.set(Some(caller.into()));
        tcp.set_socket_digest(digest);
    }
    Ok(())
}

/// The header that `bytes` begin with.
///
/// # Errors
///
/// When they begin with none, or with one that is broken.
pub fn read(bytes: &[u8]) -> Reading<'_> {
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
fn text(bytes: &[u8]) -> Reading<'_> {
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
    Ok(Some(Header {
        length,
        caller,
        certificate: None,
    }))
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
fn binary(bytes: &[u8]) -> Reading<'_> {
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
    let (caller, certificate) = match command {
        0x21 => {
            let (caller, values) = proxied(*family, rest)?;
            (caller, values::read(values, whole)?)
        }
        // Of a connection of the balancer's own, what else stands there is to be ignored.
        0x20 => (None, None),
        _ => return Err(MALFORMED),
    };
    Ok(Some(Header {
        length,
        caller,
        certificate,
    }))
}

/// Who calls, by the `rest` of a header.
fn proxied(family: u8, rest: &[u8]) -> Result<Named<'_>, Failure> {
    match family {
        0x00 => Some((None, rest)),
        0x11 => source::<4>(rest),
        0x21 => source::<16>(rest),
        // Datagrams and Unix sockets do not come to a listener of TCP.
        _ => None,
    }
    .ok_or(MALFORMED)
}

/// The first of two addresses of `N` bytes, with its port, and what follows both.
fn source<const N: usize>(bytes: &[u8]) -> Option<Named<'_>>
where
    [u8; N]: Into<IpAddr>,
{
    let (source, bytes) = bytes.split_first_chunk::<N>()?;
    let (_destination, bytes) = bytes.split_first_chunk::<N>()?;
    let ([high, low, _, _], values) = bytes.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([*high, *low]);
    Some((Some(SocketAddr::from((*source, port))), values))
}

#[cfg(test)]
mod tests;
