//! Unix domain sockets that nobody but their owner can use, and what stays on this machine.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

/// Whether nothing that is sent to `host`, an address (of IPv6 with or without brackets) or a name, leaves this
/// machine (RFC 6761 section 6.3).
#[must_use]
pub(crate) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// Where to reach from this machine what listens everywhere.
#[must_use]
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// `path` with `ending` behind its name.
#[must_use]
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Makes a socket at `path`, for its owner only, in place of one that is there. Gives who the owner
/// is.
///
/// # Errors
///
/// Among others when the path is longer than the 107 bytes that the system allows a socket, and when
/// something that is no socket is in its place.
pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, u32)> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is in its place",
            ));
        }
        Ok(_) | Err(_) => {}
    }
    // It gets its name only when nobody else may connect any more.
    let unnamed = beside(path, "~");
    match fs::remove_file(&unnamed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&unnamed)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&unnamed, Permissions::from_mode(0o600))?;
    let owner = fs::symlink_metadata(&unnamed)?.uid();
    fs::rename(&unnamed, path)?;
    Ok((listener, owner))
}

/// Whether `owner` or root is at the other end; `what` is the socket in the warning that nobody else
/// is answered.
pub(crate) fn is_of(stream: &UnixStream, owner: u32, what: &'static str) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == owner || peer.uid() == 0 => true,
        Ok(peer) => {
            tracing::warn!(
                uid = peer.uid(),
                socket = what,
                "another user is at the other end of a socket"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, socket = what, "cannot tell who uses a socket");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_here() {
        let shown = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(shown("[::]:1"), "[::1]:1");
        assert_eq!(shown("10.0.0.1:1"), "10.0.0.1:1");
    }
}
