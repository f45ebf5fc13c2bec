//! The Rust verifier before an application that says whom it sees, on hyper: `verify PORT`. SECRETS is a
//! folder of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many
//! signatures are kept.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use keyferry::clock::Timestamp;
use keyferry::secret::from_file_contents;
use keyferry::sign::{SigningKey, Vouched};
use keyferry::verify::tower::VerifyLayer;
use keyferry::verify::{Guard, body_fits};
use tower_layer::Layer as _;
use tower_service::Service;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args().nth(1).context("PORT")?.parse()?;
    let folder = std::env::var_os("SECRETS").context("SECRETS")?;
    let mut keys = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let id = path.file_name().and_then(|name| name.to_str());
        let secret = from_file_contents(std::fs::read(&path)?)?;
        keys.push(SigningKey::new(id.context("a name")?, &secret)?);
    }
    let remember = std::env::var_os("REMEMBER");
    let remember = remember.map_or(Ok(100_000), |text| text.to_string_lossy().parse())?;
    let mut layer = VerifyLayer::new(Arc::new(Guard::believing(keys, remember)?));
    if let Some(file) = std::env::var_os("NOW") {
        layer = layer.with_clock(move || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            Timestamp::from_unix(text.parse().unwrap_or_default())
        });
    }
    let service = TowerToHyperService::new(layer.layer(Echo));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let server = hyper::server::conn::http1::Builder::new();
            // What goes wrong on a connection concerns whoever made it.
            let _ended = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[derive(Clone)]
struct Echo;

impl Service<Request<Incoming>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Box::pin(echo(request))
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    let fits = body.is_ok_and(|body| body_fits(&parts.headers, body));
    let vouched = parts.extensions.get::<Vouched>();
    let seen = vouched.and_then(|vouched| seen(&parts.headers, vouched));
    let mut answer = Response::new("ok".into());
    if let Some(seen) = seen.filter(|_| fits) {
        *answer.headers_mut() = seen;
    } else {
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        *answer.body_mut() = "body_mismatch".into();
    }
    Ok(answer)
}

fn seen(headers: &HeaderMap, vouched: &Vouched) -> Option<HeaderMap> {
    let scopes = headers.get("x-key-scopes").cloned();
    let mut seen = HeaderMap::new();
    seen.insert("echo-client", vouched.client.to_string().parse().ok()?);
    seen.insert("echo-key-id", vouched.key_id.to_string().parse().ok()?);
    seen.insert("echo-scopes", scopes.or_else(|| "".parse().ok())?);
    Some(seen)
}
