//! The legacy service: believes only what is signed, and remembers whom it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use keyferry::clock;
use keyferry::secret::Secret;
use keyferry::sign::{Message, Names, SigningKey, Verifier};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::support::gateway::secret;

/// The header by which a member of the fleet says who it is, for this test alone.
pub(crate) const MEMBER: &str = "x-drill-member";

/// A running backend; it ends when dropped.
pub(crate) struct Legacy {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

/// Whom it saw.
#[derive(Default)]
struct Seen {
    /// The client ids under which each member came.
    clients: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// What was wrong with requests that it did not believe.
    disbelieved: Mutex<Vec<String>>,
}

impl Legacy {
    /// A backend that the gateways know as `name`.
    pub(crate) fn start(name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let key = SigningKey::new(name, &Secret::new(secret(name))).expect("a signing key");
        let verifier = Arc::new(Verifier::new(vec![key], Names::default()));
        let seen = Arc::new(Seen::default());
        let seeing = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, Arc::clone(&verifier), Arc::clone(&seeing)));
            }
        });
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    /// The client ids under which each member came, by member.
    pub(crate) fn clients(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.seen.clients.lock().expect("no panic in there").clone()
    }

    /// What was wrong with requests that it did not believe.
    pub(crate) fn disbelieved(&self) -> Vec<String> {
        let disbelieved = self.seen.disbelieved.lock();
        disbelieved.expect("no panic in there").clone()
    }
}

async fn serve(tcp: TcpStream, verifier: Arc<Verifier>, seen: Arc<Seen>) {
    let mut stream = BufReader::new(tcp);
    while let Some((line, headers)) = read(&mut stream).await {
        let status = match believe(&line, &headers, &verifier) {
            Ok((member, client)) => {
                let mut clients = seen.clients.lock().expect("no panic in there");
                clients.entry(member).or_default().insert(client);
                "200 OK"
            }
            Err(why) => {
                let mut disbelieved = seen.disbelieved.lock().expect("no panic in there");
                disbelieved.push(format!("{line}: {why}"));
                "500 Disbelieved"
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The request line and the headers; requests of the drill have no body.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, HeaderMap)> {
    let (mut first, mut headers) = (String::new(), HeaderMap::new());
    stream.read_line(&mut first).await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Some((first.trim_end().to_owned(), headers));
        };
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value.trim()).ok()?,
        );
    }
}

/// Which member came, under which client id.
fn believe(
    line: &str,
    headers: &HeaderMap,
    verifier: &Verifier,
) -> Result<(String, String), String> {
    let mut words = line.split(' ');
    let (method, target) = (words.next(), words.next());
    let target = target.ok_or("no target")?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let message = Message {
        method: method.ok_or("no method")?,
        authority: text("host").ok_or("no host")?,
        path: target.split('?').next().ok_or("no path")?,
        query: target.split_once('?').map(|(_, query)| query),
        content_digest: None,
    };
    let caller = verifier.verify(&message, headers, clock::now());
    let vouched = caller.map_err(|error| error.to_string())?;
    let member = text(MEMBER).ok_or("no member")?;
    Ok((member.to_owned(), vouched.client.to_string()))
}
