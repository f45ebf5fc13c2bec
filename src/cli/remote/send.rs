//! Questions to the gateway, and what its refusals come to.

use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Server;
use crate::cli::Failure;
use crate::secret::Secret;
use crate::upstream::exchange::{self, Answer, Request, exchange};

/// How long the gateway may take for what reads through all of its store, or for its configuration.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// More than any answer needs.
const MOST: usize = 256 << 20;

impl Server {
    /// What the gateway answers to `GET target`.
    pub(in crate::cli) fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        self.ask(Method::GET, target, HeaderMap::new(), Bytes::new())
    }

    /// What the gateway answers to `POST target` with `body`.
    pub(in crate::cli) fn post<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let body = Bytes::from(body.to_string());
        self.ask(Method::POST, target, HeaderMap::new(), body)
    }

    /// What the gateway answers, with these headers and those that are always sent.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<T, Failure> {
        let agent = concat!("keyferry/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            headers.insert(CONTENT_TYPE, json);
        }
        if let Some(token) = &self.token {
            let shown = Secret::new(format!("Bearer {}", token.expose()));
            let shown = HeaderValue::from_str(shown.expose());
            let no_token = |_| Failure::Data("the file of the token holds no token".to_owned());
            let mut shown = shown.map_err(no_token)?;
            shown.set_sensitive(true);
            headers.insert(AUTHORIZATION, shown);
        }
        let request = Request {
            method,
            target,
            headers,
            body,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let host = self.authority.as_str();
        let bounds = (LONGEST_WAIT, MOST);
        let answer = runtime.block_on(exchange(&self.settings, host, request, bounds));
        runtime.shutdown_background();
        self.read(answer)
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Answer, exchange::NoAnswer>,
    ) -> Result<T, Failure> {
        let url = &self.url;
        let answer = answer.map_err(|error| match error {
            exchange::NoAnswer::Backend(_) => Failure::Data(
                "the authorities, or your own certificate and its key, cannot be read; write them as PEM"
                    .to_owned(),
            ),
            error => Failure::Unavailable(anyhow!("the gateway at {url} does not answer: {error}")),
        })?;
        if answer.status == StatusCode::OK {
            let read = serde_json::from_slice(&answer.body);
            return read.map_err(|error| {
                Failure::Unavailable(anyhow!(
                    "what {url} answers cannot be read ({error}); is it a gateway of another version?"
                ))
            });
        }
        Err(self.refused(answer.status, &answer.body))
    }

    /// What a problem comes to: the same as when the command is done here.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let url = &self.url;
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let detail = problem.get("detail").and_then(Value::as_str);
        let said = detail.unwrap_or("without a reason").to_owned();
        let other =
            |what: &str| format!("the gateway at {url} {what} ({}): {said}", status.as_u16());
        match status {
            StatusCode::CONFLICT => Failure::Refused(said),
            StatusCode::BAD_REQUEST => Failure::Usage(said),
            StatusCode::UNPROCESSABLE_ENTITY => Failure::Data(said),
            StatusCode::UNAUTHORIZED if self.token.is_none() => Failure::Refused(format!(
                "the gateway at {url} wants to know who asks; name the file of your token: --token-file \
                 FILE, or KEYFERRY_TOKEN_FILE"
            )),
            StatusCode::UNAUTHORIZED => Failure::Refused(other("does not know the token")),
            StatusCode::FORBIDDEN => Failure::Refused(other("does not allow it")),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Failure::Refused(other("knows no such thing; is it of another version?"))
            }
            StatusCode::INTERNAL_SERVER_ERROR => Failure::Internal(anyhow!(other("failed"))),
            _ => Failure::Unavailable(anyhow!(other("cannot do it now"))),
        }
    }
}
