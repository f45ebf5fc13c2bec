//! The same decision as a layer of [tower](https://docs.rs/tower-layer), for backends in Rust: axum, hyper, tonic.
//!
//! ```
//! use std::sync::Arc;
//! use keyferry::{secret::from_file_contents, sign::SigningKey, verify::{Guard, tower::VerifyLayer}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let contents = vec![7; 32];
//! // let contents = std::fs::read("orders.key")?;
//! let key = SigningKey::new("orders-2026-11", &from_file_contents(contents)?)?;
//! let layer = VerifyLayer::new(Arc::new(Guard::believing(vec![key], 100_000)?));
//! // axum: Router::new().route(…).layer(layer); others: ServiceBuilder::new().layer(layer).service(…)
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! What is refused gets its problem document, and the service is not called. What is believed has a
//! [`Vouched`](crate::sign::Vouched) among its extensions. A body is checked where it is read: [`super::body_fits`].

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::{Admitted, Guard, Refusal, request_id};
use crate::clock::{self, Timestamp};

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Puts a [`Guard`] before services.
#[derive(Clone)]
pub struct VerifyLayer {
    guard: Arc<Guard>,
    clock: Clock,
}

impl VerifyLayer {
    /// What `guard` admits goes on. Its verifier can be exchanged meanwhile, for another secret.
    #[must_use]
    pub fn new(guard: Arc<Guard>) -> Self {
        let clock = Arc::new(clock::now);
        Self { guard, clock }
    }

    /// By another clock, for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn decide<B>(&self, request: Request<B>) -> Result<Request<B>, (Refusal, String)> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.to_string();
        match self.guard.admit(&parts, target.as_bytes(), (self.clock)()) {
            Ok(admitted) => {
                self.guard.let_through(&admitted);
                if let Admitted::Verified(vouched) = admitted {
                    parts.extensions.insert(vouched);
                }
                Ok(Request::from_parts(parts, body))
            }
            Err(refusal) => {
                let verifier = self.guard.verifier.load();
                let id = request_id(&parts.headers, verifier.names());
                self.guard.refused(&refusal, &id, None);
                Err((refusal, id))
            }
        }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verified<S>;

    fn layer(&self, inner: S) -> Verified<S> {
        let layer = self.clone();
        Verified { layer, inner }
    }
}

/// A service that only what came through the gateway reaches.
#[derive(Clone)]
pub struct Verified<S> {
    layer: VerifyLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Verified<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.layer.decide(request) {
            Ok(request) => Answer::Served(Box::pin(self.inner.call(request))),
            Err((refusal, id)) => Answer::Refused(ready(refused(&refusal, &id))),
        }
    }
}

/// The answer of the service, or the refusal.
pub enum Answer<F, R> {
    /// The service was called.
    Served(Pin<Box<F>>),
    /// It was not.
    Refused(Ready<Response<R>>),
}

impl<F, R, E> Future for Answer<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.get_mut() {
            Self::Served(served) => served.as_mut().poll(context),
            Self::Refused(refused) => Pin::new(refused).poll(context).map(Ok),
        }
    }
}

fn refused<R: From<String>>(refusal: &Refusal, request_id: &str) -> Response<R> {
    let mut answer = Response::new(R::from(refusal.document(request_id)));
    *answer.status_mut() = refusal.status();
    let problem = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, problem);
    if refusal.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(Refusal::CHALLENGE);
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}
