//! A client of the load: a TLS connection, or several in turn, and requests that wait for their answers.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::ValueEnum;
use memchr::memmem;
use openssl::ssl::{
    ConnectConfiguration, SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslSession,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};

use super::seed;

const HOST: &str = "api.example.com";
/// How long an answer may take; longer is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the clients are like.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Kind {
    /// Where the gateway listens
    address: SocketAddr,
    /// The folder that `seed` filled
    #[arg(long)]
    pub(super) folder: PathBuf,
    /// How they prove themselves
    #[arg(long, value_enum, default_value = "key")]
    credential: Credential,
    /// The list that the keys are taken from, in the folder: the last word of each line
    #[arg(long, default_value = "identities")]
    pub(super) keys: String,
    /// How long a connection lasts, and how the next one begins
    #[arg(long, value_enum, default_value = "keep")]
    connect: Connect,
    /// What they ask for
    #[arg(long, default_value = "/v1/orders?limit=10")]
    path: String,
    /// How many bytes they send with each request
    #[arg(long, default_value_t = 0)]
    upload: usize,
    /// How many bytes of headers they send that mean nothing, in lines of at most 1 KiB
    #[arg(long, default_value_t = 0)]
    headers: usize,
    /// How many connections each of them keeps, to be used in turn
    #[arg(long, default_value_t = 1)]
    pub(super) each: usize,
    /// The answer that they expect
    #[arg(long, default_value_t = 200)]
    status: u16,
    /// The groups for the key exchange
    #[arg(long, default_value = "X25519")]
    groups: String,
}

/// How clients prove themselves: every request with another key, or every client with its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Credential {
    Key,
    /// A certificate with a P-256 key
    P256,
    /// A certificate with an RSA key of 2048 bits
    Rsa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Connect {
    /// Connections are kept
    Keep,
    /// A full handshake for every request
    Full,
    /// Every request on a connection of its own, which resumes the session of the one before
    Resume,
}

/// One client: a request at a time.
pub(super) struct Client<'a> {
    kind: &'a Kind,
    connector: SslConnector,
    /// The newest session that the gateway gave a ticket for.
    session: Arc<Mutex<Option<SslSession>>>,
    /// Comes round to every key before it takes the first again, at another place in each client.
    keys: Box<dyn Iterator<Item = &'a str> + 'a>,
    open: VecDeque<SslStream<TcpStream>>,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    /// The one with this number, of so many.
    pub(super) fn new(
        kind: &'a Kind,
        number: usize,
        of: usize,
        keys: &'a [&'a str],
    ) -> Result<Self> {
        let mut connector = SslConnector::builder(SslMethod::tls_client())?;
        // One version, one cipher, one group: all gateways do the same work.
        connector.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        connector.set_ciphersuites("TLS_AES_128_GCM_SHA256")?;
        connector.set_groups_list(&kind.groups)?;
        connector.set_verify(SslVerifyMode::NONE);
        match kind.credential {
            Credential::Key => {}
            Credential::P256 => present(&mut connector, &kind.folder, &seed::P256, number)?,
            Credential::Rsa => present(&mut connector, &kind.folder, &seed::RSA, number)?,
        }
        let session = Arc::new(Mutex::new(None));
        if kind.connect == Connect::Resume {
            let newest = Arc::clone(&session);
            connector.set_session_cache_mode(SslSessionCacheMode::CLIENT);
            connector.set_new_session_callback(move |_, session| {
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
            });
        }
        let far = keys.len().checked_div(of).unwrap_or_default();
        let keys = keys.iter().cycle().skip(number.saturating_mul(far));
        Ok(Self {
            kind,
            connector: connector.build(),
            session,
            keys: Box::new(keys.copied()),
            open: VecDeque::new(),
            buffer: Vec::with_capacity(4096),
        })
    }

    /// One request and its whole answer.
    pub(super) fn request(&mut self) -> Result<()> {
        let mut stream = if self.open.len() < self.kind.each {
            self.connect()?
        } else {
            self.open.pop_front().context("no connection")?
        };
        stream.write_all(&self.text())?;
        let stays = self.answer(&mut stream)?;
        if stays && self.kind.connect == Connect::Keep {
            self.open.push_back(stream);
        } else {
            // A session whose connection just breaks off is not resumed.
            let _ = stream.shutdown();
        }
        Ok(())
    }

    /// How many connections it keeps.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    fn text(&mut self) -> Vec<u8> {
        let Kind { path, upload, .. } = self.kind;
        let method = if *upload == 0 { "GET" } else { "POST" };
        let connection = match self.kind.connect {
            Connect::Keep => "keep-alive",
            Connect::Full | Connect::Resume => "close",
        };
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench/1\r\n\
             Accept: application/json\r\nConnection: {connection}\r\n"
        );
        if self.kind.credential == Credential::Key {
            let key = self.keys.next().unwrap_or_default();
            text = format!("{text}X-API-Key: {key}\r\n");
        }
        if *upload > 0 {
            text = format!("{text}Content-Length: {upload}\r\n");
        }
        let mut left = self.kind.headers;
        while left > 0 {
            let line = left.min(1024);
            let filler = "x".repeat(line.saturating_sub("X-Filler: \r\n".len()));
            text = format!("{text}X-Filler: {filler}\r\n");
            left = left.saturating_sub(line);
        }
        let mut text = format!("{text}\r\n").into_bytes();
        text.resize(text.len().saturating_add(*upload), b'x');
        text
    }

    fn connect(&self) -> Result<SslStream<TcpStream>> {
        let tcp = TcpStream::connect(self.kind.address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let mut configuration = self.connector.configure()?;
        configuration.set_verify_hostname(false);
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            resume(&mut configuration, session)?;
        }
        let resumes = session.is_some();
        drop(session);
        let connected = configuration.connect(HOST, tcp);
        let stream = connected.map_err(|error| anyhow!("no handshake: {error}"))?;
        ensure!(
            stream.ssl().session_reused() == resumes,
            "the gateway does not resume the session"
        );
        Ok(stream)
    }

    /// Reads to the end of the answer, as its Content-Length says; whether the connection stays.
    fn answer(&mut self, stream: &mut SslStream<TcpStream>) -> Result<bool> {
        self.buffer.clear();
        let head = loop {
            self.read(stream)?;
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
        };
        let text = str::from_utf8(self.buffer.get(..head).unwrap_or_default())?;
        let expected = format!("HTTP/1.1 {} ", self.kind.status);
        ensure!(text.starts_with(&expected), "another answer: {text}");
        let length = header(text, "content-length").context("an answer without a length")?;
        let end = head
            .saturating_add(4)
            .saturating_add(length.parse::<usize>()?);
        let stays = header(text, "connection") != Some("close");
        while self.buffer.len() < end {
            self.read(stream)?;
        }
        Ok(stays)
    }

    fn read(&mut self, stream: &mut SslStream<TcpStream>) -> Result<()> {
        let mut chunk = [0; 16384];
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the gateway closed the connection too early");
        self.buffer
            .extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(())
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Gives the client one of the certificates that `seed` left in files.
fn present(
    connector: &mut SslConnectorBuilder,
    folder: &Path,
    files: &std::ops::Range<usize>,
    number: usize,
) -> Result<()> {
    let number = files.clone().cycle().nth(number).context("no file")?;
    let file = |extension| folder.join(format!("{}.{extension}", seed::name(number)));
    connector.set_certificate_chain_file(file("pem"))?;
    connector.set_private_key_file(file("key"), SslFiletype::PEM)?;
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "the bindings leave it to the caller that context and session belong together"
)]
fn resume(configuration: &mut ConnectConfiguration, session: &SslSession) -> Result<()> {
    // SAFETY: the session was made by a connection of the same client, so of the same context.
    Ok(unsafe { configuration.set_session(session) }?)
}
