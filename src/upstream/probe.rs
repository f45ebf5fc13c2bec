//! A look at one address of a backend, on connections like the gateway's own.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http::header::{DATE, HeaderName, HeaderValue};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::backend::{BackendError, Settings, Tls, template};
use super::exchange::head;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::ssl::{SslConnector, SslMethod};
use crate::tls::tokio_ssl::SslStream;
use crate::tls::x509::X509;
use crate::tls::x509::store::X509StoreBuilder;
use crate::tls::{demand_strength, distrust};

/// How long an answer is waited for at most, however long the gateway would.
const PATIENCE: Duration = Duration::from_secs(5);

/// The head of an answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What its `Date` says.
    pub date: Option<String>,
}

/// Connects to the backend at `address`; gives the certificate that it shows, once that is
/// accepted. Without TLS there is none.
///
/// # Errors
///
/// Why it is not reached, or not believed.
pub async fn greet(settings: &Settings, address: SocketAddr) -> Result<Option<X509>, String> {
    let greeting = async {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| error.to_string())?;
        match &settings.tls {
            None => Ok(None),
            Some(tls) => shown(tls, stream).await.map(Some),
        }
    };
    let limit = settings.connect_timeout.min(PATIENCE);
    match timeout(limit, greeting).await {
        Ok(greeted) => greeted,
        Err(_) => Err(format!("no connection within {limit:?}")),
    }
}

async fn shown(tls: &Tls, stream: TcpStream) -> Result<X509, String> {
    let connector = connector(tls).map_err(|error| error.to_string())?;
    let ssl = connector
        .configure()
        .and_then(|one| one.into_ssl(&tls.server_name));
    let stream = ssl.and_then(|ssl| SslStream::new(ssl, stream));
    let mut stream = stream.map_err(|error| error.to_string())?;
    if let Err(error) = Pin::new(&mut stream).connect().await {
        let name = &tls.server_name;
        return Err(match distrust(stream.ssl()) {
            None => format!("the TLS handshake failed: {error}"),
            Some(why) => format!("its certificate is not accepted ({why}), for the name {name:?}"),
        });
    }
    let shown = stream.ssl().peer_certificate();
    shown.ok_or_else(|| "it shows no certificate".to_owned())
}

fn connector(tls: &Tls) -> Result<SslConnector, ErrorStack> {
    let mut trusted = X509StoreBuilder::new()?;
    for authority in X509::stack_from_pem(&tls.ca_pem)? {
        trusted.add_cert(authority)?;
    }
    let mut builder = SslConnector::builder(SslMethod::tls())?;
    builder.set_cert_store(trusted.build());
    demand_strength(&mut builder)?;
    if let Some((chain, key)) = &tls.identity {
        let mut chain = X509::stack_from_pem(chain)?.into_iter();
        if let Some(leaf) = chain.next() {
            builder.set_certificate(&leaf)?;
        }
        for intermediate in chain {
            builder.add_extra_chain_cert(intermediate)?;
        }
        builder.set_private_key(&*PKey::private_key_from_pem(key.expose())?)?;
    }
    Ok(builder.build())
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The backend cannot be set up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Nobody answered, or what came is none.
    #[error("{0}")]
    Http(#[from] Box<pingora::Error>),
    /// Not in time.
    #[error("no answer within {PATIENCE:?}")]
    Late,
}

/// What is asked for, with GET.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Which command asks.
    pub agent: &'static str,
    /// The host.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
}

/// Puts `question` to the backend at `address`, with these headers and no others that say who asks.
///
/// # Errors
///
/// [`NoAnswer`].
pub async fn get(
    settings: &Settings,
    address: SocketAddr,
    question: Question<'_>,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Result<Answer, NoAnswer> {
    let mut peer = template(settings)?;
    peer._address = address.into();
    let mut request = RequestHeader::build("GET", question.target.as_bytes(), None)?;
    request.insert_header("Host", question.host)?;
    request.insert_header("User-Agent", question.agent)?;
    for (name, value) in headers {
        request.append_header(name, value)?;
    }
    let asking = async {
        let (mut session, _) = Connector::new(None).get_http_session(&peer).await?;
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        let head = head(&mut session).await?;
        let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
        let answer = Answer {
            status: head.status.as_u16(),
            date: date.map(str::to_owned),
        };
        session.shutdown().await;
        Ok(answer)
    };
    timeout(PATIENCE, asking)
        .await
        .map_err(|_| NoAnswer::Late)?
}
