//! A TLS client of few words: HTTP/1.1 over a connection of its own, with a certificate or without.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use openssl::ssl::{ShutdownState, Ssl, SslConnector, SslMethod, SslStream};
use openssl::x509::X509;
use serde_json::Value;

use super::pki::Issued;
use super::world::HOST;

/// How long an answer may take on a machine that is busy with the whole fleet.
const PATIENCE: Duration = Duration::from_mins(1);

/// What all connections share.
pub(crate) struct Tls(SslConnector);

/// The certificate that a client shows, and what it sends along.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) issued: Issued,
    /// Whether it sends the intermediates, as it should.
    pub(crate) whole: bool,
}

/// A connection to one gateway.
pub(crate) struct Wire(SslStream<TcpStream>);

/// An answer, with the headers that matter here.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Tls {
    /// Trusts servers of this authority.
    pub(crate) fn trusting(authority: &X509) -> Self {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a client");
        let store = builder.cert_store_mut();
        store.add_cert(authority.clone()).expect("an authority");
        Self(builder.build())
    }

    /// Offers HTTP/2, and nothing else.
    pub(crate) fn http2(authority: &X509) -> Self {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a client");
        let store = builder.cert_store_mut();
        store.add_cert(authority.clone()).expect("an authority");
        builder.set_alpn_protos(b"\x02h2").expect("a protocol");
        Self(builder.build())
    }

    /// Connects, and shows a certificate when there is one and the gateway asks for it.
    ///
    /// # Errors
    ///
    /// What keeps the handshake from completing.
    pub(crate) fn connect(&self, to: SocketAddr, shown: Option<&Shown>) -> Result<Wire, String> {
        let tcp = TcpStream::connect(to).map_err(|error| format!("connect: {error}"))?;
        tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
        tcp.set_nodelay(true).expect("a socket");
        let mut ssl: Ssl = self
            .0
            .configure()
            .and_then(|configured| configured.into_ssl(HOST))
            .expect("a name");
        if let Some(Shown { issued, whole }) = shown {
            ssl.set_certificate(&issued.x509).expect("a certificate");
            ssl.set_private_key(&issued.key).expect("its key");
            for intermediate in issued.intermediates.iter().filter(|_| *whole) {
                ssl.add_chain_cert(intermediate.clone())
                    .expect("an intermediate");
            }
        }
        let stream = ssl.connect(tcp);
        stream
            .map(Wire)
            .map_err(|error| format!("handshake: {error}"))
    }
}

impl Wire {
    /// Sends one request without a body and reads its answer. `fields` are header lines.
    ///
    /// # Errors
    ///
    /// When there is no whole answer.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        fields: &[String],
    ) -> Result<Answer, String> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n");
        for field in fields {
            request.push_str(field);
            request.push_str("\r\n");
        }
        if method != "GET" {
            request.push_str("Content-Length: 0\r\n");
        }
        request.push_str("\r\n");
        let sent = self.0.write_all(request.as_bytes());
        sent.map_err(|error| format!("send: {error}"))?;
        self.answer()
    }

    /// Sends bytes as they are; `false` when the other side has gone.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// What comes next; empty at the end, however it comes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ended = self.more(&mut bytes);
        bytes
    }

    /// What comes next, until it holds `end`, or all there is.
    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.windows(end.len()).any(|part| part == end) && self.more(&mut bytes).is_ok() {}
        bytes
    }

    /// Everything up to the end, and whether TLS says that this is the whole of it.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let _ended = self.0.read_to_end(&mut bytes);
        let state = self.0.get_shutdown();
        (bytes, state.contains(ShutdownState::RECEIVED))
    }

    /// From now on, neither sending nor reading waits.
    pub(crate) fn never_wait(&mut self) {
        self.0.get_ref().set_nonblocking(true).expect("a socket");
    }

    /// Whether the other side said something, or has gone.
    pub(crate) fn is_over(&mut self) -> bool {
        let read = self.0.read(&mut [0]).map_err(|error| error.kind());
        read != Err(ErrorKind::WouldBlock)
    }

    /// Whether nothing comes for so long, and the connection stays.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        let tcp = self.0.get_ref();
        tcp.set_read_timeout(Some(time)).expect("a socket");
        let read = self.0.read(&mut [0]).map_err(|error| error.kind());
        let quiet = matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut));
        let tcp = self.0.get_ref();
        tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
        quiet
    }

    fn answer(&mut self) -> Result<Answer, String> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
                let mut answer = Answer {
                    status: status.expect("a status line"),
                    head,
                    body: bytes[end + 4..].to_vec(),
                };
                let length: usize = answer
                    .header("content-length")
                    .map_or(0, |length| length.parse().expect("a number of bytes"));
                while answer.body.len() < length {
                    self.more(&mut answer.body)?;
                }
                return Ok(answer);
            }
            self.more(&mut bytes)?;
        }
    }

    fn more(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut part = [0; 4096];
        match self.0.read(&mut part) {
            Ok(0) => Err("the connection ended before the answer".to_owned()),
            Ok(read) => {
                bytes.extend_from_slice(&part[..read]);
                Ok(())
            }
            Err(error) => Err(format!("receive: {error}")),
        }
    }
}

impl Answer {
    /// The value of a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1);
        let mut named = fields.filter_map(|line| line.split_once(':'));
        let found = named.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The reason of a refusal; empty for anything else.
    pub(crate) fn reason(&self) -> String {
        let reason = self.json()["reason"].as_str().map(str::to_owned);
        reason.filter(|_| self.status >= 400).unwrap_or_default()
    }
}
