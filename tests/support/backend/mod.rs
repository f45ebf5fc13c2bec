//! A backend that records every request to the byte, and answers with what it saw.
//!
//! | path | answer |
//! |---|---|
//! | `/bytes?n=N` | `N` bytes of zero |
//! | `/sse?n=N` | `N` events; each after the first waits for [`Backend::proceed`] |
//! | `/slow` | the echo, after [`Backend::proceed`] |
//! | `/status/NNN` | that status |
//! | `/headers?a=b` | the echo, with these response headers |
//! | `/trailers?a=b` | a chunked answer with these trailers |
//! | `/drop?times=N` | nothing for the first `N` requests: the connection is closed; then the echo |
//! | any other | the echo: method, target, headers and body as JSON |

mod answer;
mod read;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use keyferry::tls::tokio_ssl::SslStream;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use openssl::{nid::Nid, pkey::PKey};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::wait_for;

/// A request as it came over the wire.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) target: String,
    /// In the order and the case they came in.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) body_bytes: u64,
    /// In hex.
    pub(crate) body_sha256: String,
    /// The start of the body, where it is text.
    pub(crate) body: String,
    /// The request line and the header lines, to the byte.
    #[serde(skip)]
    pub(crate) head: Vec<u8>,
    /// Which connection of the backend it came on, from 1.
    #[serde(skip)]
    pub(crate) connection: usize,
    /// The common name of the certificate that the gateway showed.
    #[serde(skip)]
    pub(crate) peer: Option<String>,
}

impl Recorded {
    /// The values of all headers of that name, in any case of letters.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The one value of the header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.all(name);
        assert_eq!(found.len(), 1, "{name} once in {:#?}", self.headers);
        found[0]
    }
}

/// The values of all fields of that name, in any case of letters.
pub(crate) fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// How the backend speaks TLS, all in PEM.
pub(crate) struct BackendTls {
    pub(crate) chain: String,
    pub(crate) key: String,
    /// When given, the gateway has to show a certificate of this authority.
    pub(crate) client_ca: Option<String>,
}

/// A running backend; it ends when dropped.
pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// What a backend believes.
#[derive(Clone)]
pub(crate) enum Belief {
    /// Everything.
    All,
    /// Whatever has a signature.
    Signed,
    /// What was signed with this secret.
    SignedWith(Vec<u8>),
}

struct Shared {
    belief: Belief,
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    dropped: AtomicUsize,
    proceed: Semaphore,
}

impl Backend {
    /// HTTP/1.1 in the clear.
    pub(crate) fn start() -> Self {
        Self::launch(None, Belief::All)
    }

    /// The same, which answers 401 to what it does not believe.
    pub(crate) fn believing(belief: Belief) -> Self {
        Self::launch(None, belief)
    }

    /// HTTP/1.1 over TLS.
    pub(crate) fn start_tls(tls: &BackendTls) -> Self {
        Self::launch(Some(acceptor(tls)), Belief::All)
    }

    fn launch(tls: Option<SslAcceptor>, belief: Belief) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        // Not by blocking on the runtime: the test may have one of its own.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a plain socket");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            belief,
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            proceed: Semaphore::new(0),
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a plain socket");
            accept(listener, tls, serving).await;
        });
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().expect("no panic there").clone()
    }

    /// Forgets the requests so far: for who makes very many.
    pub(crate) fn forget(&self) {
        self.shared.requests.lock().expect("no panic there").clear();
    }

    /// The last request.
    #[track_caller]
    pub(crate) fn last(&self) -> Recorded {
        self.requests().pop().expect("a request at the backend")
    }

    /// Waits until `count` requests have come.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        wait_for("requests at the backend", || {
            Some(self.requests()).filter(|requests| requests.len() >= count)
        })
    }

    /// Lets one waiting answer go on by one step.
    pub(crate) fn proceed(&self) {
        self.shared.proceed.add_permits(1);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn acceptor(tls: &BackendTls) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("TLS");
    let chain = X509::stack_from_pem(tls.chain.as_bytes()).expect("a chain in PEM");
    let key = PKey::private_key_from_pem(tls.key.as_bytes()).expect("a key in PEM");
    builder.set_certificate(&chain[0]).expect("a certificate");
    for intermediate in chain.into_iter().skip(1) {
        builder.add_extra_chain_cert(intermediate).expect("a chain");
    }
    builder.set_private_key(&key).expect("a fitting key");
    if let Some(authority) = &tls.client_ca {
        let authority = X509::from_pem(authority.as_bytes()).expect("an authority in PEM");
        builder
            .cert_store_mut()
            .add_cert(authority)
            .expect("a store");
        // Without it OpenSSL ends the second connection, which resumes a session.
        let context = builder.set_session_id_context(b"backend");
        context.expect("a short name");
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    builder.build()
}

async fn accept(listener: TcpListener, tls: Option<SslAcceptor>, shared: Arc<Shared>) {
    while let Ok((tcp, _)) = listener.accept().await {
        // An answer is written in parts, which would wait for each other.
        let _gone = tcp.set_nodelay(true);
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A connection that breaks is what some tests are about.
            let _broken = match tls {
                None => serve(tcp, connection, None, &shared).await,
                Some(tls) => serve_tls(tcp, &tls, connection, &shared).await,
            };
        });
    }
}

async fn serve_tls(
    tcp: TcpStream,
    tls: &SslAcceptor,
    connection: usize,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut stream = SslStream::new(Ssl::new(tls.context())?, tcp)?;
    std::pin::Pin::new(&mut stream)
        .accept()
        .await
        .map_err(std::io::Error::other)?;
    let peer = stream.ssl().peer_certificate().and_then(|certificate| {
        let name = certificate.subject_name();
        let entry = name.entries_by_nid(Nid::COMMONNAME).next()?;
        entry.data().to_string().ok()
    });
    serve(stream, connection, peer, shared).await
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    connection: usize,
    peer: Option<String>,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read::request(&mut stream).await? {
        request.connection = connection;
        request.peer.clone_from(&peer);
        shared
            .requests
            .lock()
            .expect("no panic there")
            .push(request.clone());
        if !answer::write(&mut stream, &request, shared).await? {
            break;
        }
        stream.flush().await?;
    }
    stream.shutdown().await
}
