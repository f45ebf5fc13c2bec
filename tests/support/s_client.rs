//! The real `openssl s_client`: bytes of our choice over TLS, sessions kept and resumed.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use openssl::base64::{decode_block, encode_block};

use super::world::{HOST, Identity};

/// How long a server may keep a connection open before the test gives up on its end, in seconds.
const LIMIT: &str = "20";

/// One connection, not made yet.
#[must_use]
pub(crate) struct SClient {
    command: Command,
}

/// What `s_client` wrote: the handshake's story and, in between, what the server sent.
#[derive(Debug)]
pub(crate) struct Transcript {
    /// Answers, and with [`SClient::told`] the session.
    pub(crate) output: String,
    /// Errors and alerts.
    pub(crate) errors: String,
}

impl SClient {
    pub(crate) fn to(address: SocketAddr, server_name: &str) -> Self {
        let mut client = Self::without_name(address);
        client.command.args(["-servername", server_name]);
        client
    }

    /// Asks for no server name.
    pub(crate) fn nameless(address: SocketAddr) -> Self {
        Self::without_name(address).option("-noservername")
    }

    fn without_name(address: SocketAddr) -> Self {
        // coreutils' timeout ends s_client when the server does not.
        let mut command = Command::new("timeout");
        command.args([LIMIT, "openssl", "s_client", "-connect"]);
        command.arg(address.to_string());
        command.arg("-ign_eof");
        Self { command }
    }

    /// Shows this client certificate, with the intermediates that its file holds.
    pub(crate) fn certificate(mut self, client: &Identity) -> Self {
        self.command.arg("-cert").arg(&client.chain);
        self.command.arg("-cert_chain").arg(&client.chain);
        self.command.arg("-key").arg(&client.key);
        self
    }

    /// Speaks this version of TLS and no other: `1.2` or `1.3`.
    pub(crate) fn tls(mut self, version: &str) -> Self {
        self.command
            .arg(format!("-tls{}", version.replace('.', "_")));
        self
    }

    /// Writes the session to this file, for another connection.
    pub(crate) fn keep_session(mut self, file: &Path) -> Self {
        self.command.arg("-sess_out").arg(file);
        self
    }

    /// Resumes the session of this file.
    pub(crate) fn resume_session(mut self, file: &Path) -> Self {
        self.command.arg("-sess_in").arg(file);
        self
    }

    /// Any other option of `s_client`.
    pub(crate) fn option(mut self, option: &str) -> Self {
        self.command.arg(option);
        self
    }

    /// Sends only these bytes and gives back only the answer, to the byte.
    pub(crate) fn send_quietly(self, bytes: &[u8]) -> Transcript {
        self.option("-quiet").send(bytes)
    }

    /// Sends these bytes and reads until the server closes. Ask for `Connection: close`.
    pub(crate) fn send(mut self, bytes: &[u8]) -> Transcript {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl; `make setup` installs it");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A server that refuses the handshake leaves nobody to read this.
        let _refused = stdin.write_all(bytes).and_then(|()| stdin.flush());
        let mut output = Vec::new();
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_to_end(&mut output).expect("its output");
        drop(stdin);
        let rest = child.wait_with_output().expect("our own child");
        Transcript {
            output: String::from_utf8_lossy(&output).into_owned(),
            errors: String::from_utf8_lossy(&rest.stderr).into_owned(),
        }
    }
}

impl Transcript {
    /// Whether the handshake resumed an earlier session.
    pub(crate) fn was_resumed(&self) -> bool {
        self.output.contains("\nReused, ")
    }

    /// The status of the first answer; nothing when there was none.
    pub(crate) fn status(&self) -> Option<u16> {
        let (_, rest) = self.output.split_once("HTTP/1.1 ")?;
        rest.get(..3)?.parse().ok()
    }
}

/// A session that was kept, with one bit changed in the byte that `place` finds in its DER, as
/// [`SClient::resume_session`] takes it.
pub(crate) fn altered(session: &Path, place: impl FnOnce(&[u8]) -> usize) -> String {
    let pem = std::fs::read_to_string(session).expect("a session");
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = decode_block(&lines).expect("base64");
    let at = place(&der);
    der[at] ^= 1;
    let lines = der.chunks(48).map(|line| encode_block(line) + "\n");
    let body: String = lines.collect();
    format!("-----BEGIN SSL SESSION PARAMETERS-----\n{body}-----END SSL SESSION PARAMETERS-----\n")
}

/// The versions of TLS whose sessions differ.
pub(crate) const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// A request after which the server closes.
pub(crate) fn closing() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").into_bytes()
}
