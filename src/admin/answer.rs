//! Answers: JSON, and problem documents (RFC 9457).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::operation::Failure;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Why there is no answer to a question.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// One word for programs.
    reason: &'static str,
    detail: String,
    /// The one method that there is, when it was another.
    allow: Option<&'static str>,
    /// After how many seconds it may be tried again.
    retry_after: Option<u64>,
    /// What was done all the same.
    report: Value,
}

/// The problems that there are, and when each is the answer.
pub(super) const PROBLEMS: [(StatusCode, &str); 13] = [
    (StatusCode::BAD_REQUEST, "What was asked makes no sense"),
    (
        StatusCode::UNAUTHORIZED,
        "No token was shown, or none that is known",
    ),
    (StatusCode::FORBIDDEN, "It is not for the role of the token"),
    (StatusCode::METHOD_NOT_ALLOWED, "The other method does it"),
    (StatusCode::REQUEST_TIMEOUT, "The body did not come in time"),
    (
        StatusCode::CONFLICT,
        "What there is does not allow it, or there is no such thing",
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON"),
    (
        StatusCode::MISDIRECTED_REQUEST,
        "Whoever shows no token did not name this machine",
    ),
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        "What was sent holds something else than it should",
    ),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "Too many wrong tokens came from there",
    ),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something is wrong with the gateway; its log says what",
    ),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Something that is needed does not answer, such as the store",
    ),
];

/// A problem document (RFC 9457).
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document<'a> {
    /// `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// One word for programs.
    reason: &'static str,
    /// What is wrong, and what to do.
    detail: &'a str,
    /// What was done all the same: of several, those that could be.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    report: &'a Value,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
            allow: None,
            retry_after: None,
            report: Value::Null,
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for people.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn no_such_page(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    pub(super) fn bad_request(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", what)
    }

    /// Somebody who is not listened to for so many seconds.
    pub(super) fn locked_out(seconds: u64) -> Self {
        let detail = "too many wrong tokens came from this address";
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "locked_out", detail)
        }
    }

    /// The same, beside what was done all the same.
    pub(super) fn beside(self, report: Value) -> Self {
        Self { report, ..self }
    }

    /// Another method than the one that there is.
    pub(super) fn method(allow: &'static str) -> Self {
        let detail = format!("ask with {allow}");
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let (status, reason) = match &failure {
            Failure::Refused(_) | Failure::NotReplicated => (StatusCode::CONFLICT, "refused"),
            Failure::Usage(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Failure::Data(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unusable_data"),
            Failure::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Failure::Internal(_) | Failure::Config(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        if status.is_server_error() {
            tracing::error!(error = %failure, "an operation failed that was asked for at the admin listener");
        }
        Self::new(status, reason, failure.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            reason: self.reason,
            detail: &self.detail,
            report: &self.report,
        };
        let mut answer = json(self.status, &document);
        let headers = answer.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, problem);
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"keyferry admin\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        let is_soon = (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        if let Some(seconds) = self.retry_after.or(is_soon) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

/// `value`, for whoever asked and for nobody else.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let Ok(mut body) = serde_json::to_vec(value) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    body.push(b'\n');
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (RESOURCE_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
