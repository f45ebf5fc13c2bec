//! Refusals as answers: problem documents (RFC 9457), or plain text for who prefers it.

use std::fmt::Write as _;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::Serialize;

use super::{Code, Exchange, Refusal, notice, question};
use crate::identity::Refused;
use crate::policy::{Accept, Denial, Denied};

/// What every reason means and what to do about it; served under `problems/`.
const REASONS: &str = include_str!("../../docs/PROBLEMS.md");

/// A problem document.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<&'a crate::certificate::Problem>,
    next_step: String,
}

/// Where the answer to a refusal points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links<'a> {
    /// The authority that the client asked for; empty when there is none.
    pub(super) authority: &'a str,
    /// The path of self-service, with `/` at both ends.
    pub(super) base: &'a str,
}

/// Answers the client with `refusal` and its detail, without which only the code is told.
///
/// # Errors
///
/// When the client is gone.
pub(super) async fn answer(
    session: &mut Session,
    (refusal, detail): (&Refusal, Option<&str>),
    links: Links<'_>,
    exchange: &Exchange,
) -> pingora::Result<()> {
    let code = refusal.code();
    let problem = Problem::of(refusal, detail, links, &exchange.request_id);
    let (body, content_type) = if prefers_text(&session.req_header().headers) {
        (problem.to_text(), "text/plain; charset=utf-8")
    } else {
        (problem.to_json(), "application/problem+json")
    };
    let mut head = ResponseHeader::build(code.status(), Some(8))?;
    head.insert_header(CONTENT_TYPE, content_type)?;
    if code.status() == 401 {
        head.insert_header(WWW_AUTHENTICATE, Refusal::challenge())?;
    }
    if let Some(after) = refusal.retry_after(exchange.now) {
        head.insert_header(RETRY_AFTER, after.as_secs())?;
    }
    if let Refusal::RateLimited(limited) = refusal
        && let Some((policy, state)) = limited.rate_limit()
    {
        head.insert_header("RateLimit-Policy", policy)?;
        head.insert_header("RateLimit", state)?;
    }
    if let Refusal::MethodNotAllowed(allowed) = refusal {
        head.insert_header(ALLOW, *allowed)?;
    }
    if exchange.question.is_some() {
        question::tell(&mut head, code, &problem.to_json())?;
    }
    notice::tell(&mut head, exchange)?;
    send(session, head, body.into(), exchange).await
}

/// Sends an answer of ours: never cached unless it says so, never sniffed, with the request's id.
///
/// # Errors
///
/// When the client is gone.
pub(super) async fn send(
    session: &mut Session,
    mut head: ResponseHeader,
    body: Bytes,
    exchange: &Exchange,
) -> pingora::Result<()> {
    if !head.headers.contains_key(CACHE_CONTROL) {
        head.insert_header(CACHE_CONTROL, "no-store")?;
    }
    head.insert_header("X-Content-Type-Options", "nosniff")?;
    let names = &exchange.live.names;
    head.insert_header(names.request_id.clone(), exchange.request_id.as_str())?;
    head.set_content_length(body.len())?;
    let empty = session.req_header().method == http::Method::HEAD || body.is_empty();
    session.write_response_header(Box::new(head), empty).await?;
    if !empty {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// The documentation of `reason`.
pub(crate) fn documentation(reason: &str) -> Option<&'static str> {
    let heading = format!("## {reason}\n");
    let (_, section) = REASONS.split_once(heading.as_str())?;
    Some(section.split("\n## ").next().unwrap_or(section).trim())
}

impl Links<'_> {
    /// The address of self-service.
    pub(super) fn base_url(&self) -> String {
        if self.authority.is_empty() {
            self.base.to_owned()
        } else {
            format!("https://{}{}", self.authority, self.base)
        }
    }
}

/// The document of a `refusal` where there is no request that it answers.
pub(super) fn document(
    refusal: &Refusal,
    detail: &str,
    links: Links<'_>,
    request_id: &str,
) -> String {
    Problem::of(refusal, Some(detail), links, request_id).to_json()
}

impl<'a> Problem<'a> {
    fn of(
        refusal: &'a Refusal,
        detail: Option<&'a str>,
        links: Links<'_>,
        request_id: &'a str,
    ) -> Self {
        let code = refusal.code();
        Self {
            r#type: format!("{}problems/{}", links.base_url(), code.as_str()),
            title: code.title(),
            status: code.status(),
            detail: detail.unwrap_or_else(|| code.title()),
            reason: code.as_str(),
            request_id,
            problems: refusal
                .rejected()
                .filter(|_| detail.is_some())
                .map(|rejected| rejected.problems().iter().collect())
                .unwrap_or_default(),
            next_step: next_step(refusal, links),
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn to_text(&self) -> String {
        let Self {
            title,
            status,
            detail,
            reason,
            request_id,
            next_step,
            ..
        } = self;
        let mut text = format!("{title} ({status} {reason})\n\n{detail}\n");
        if !next_step.is_empty() {
            let _ = write!(text, "\nNext step: {next_step}\n");
        }
        let _ = writeln!(text, "\nRequest {request_id}");
        text
    }
}

/// Whether the client would rather read text than JSON.
pub(super) fn prefers_text(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    accept.contains("text/plain") && !accept.contains("json")
}

fn next_step(refusal: &Refusal, links: Links<'_>) -> String {
    let base = links.base_url();
    if let Refusal::Identity(Refused::CertificateLapsed(_)) = refusal {
        return format!("curl --cert client.pem --key client.key -X POST {base}key");
    }
    match refusal.code() {
        Code::CredentialMissing => {
            let credential = match refusal {
                Refusal::Policy(Denied {
                    why: Denial::CredentialMissing(Accept::Key),
                    ..
                }) => "-H \"Authorization: Bearer $KEY\"",
                _ => "--cert client.pem --key client.key",
            };
            format!("curl {credential} {base}whoami")
        }
        Code::CertificateRetired | Code::Brownout | Code::KeyInvalid => {
            format!("curl --cert client.pem --key client.key -X POST {base}key")
        }
        code => format!("{base}problems/{}", code.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        for code in Code::ALL.map(Code::as_str) {
            let section = documentation(code);
            assert!(
                section.is_some_and(|text| text.len() > 40),
                "docs/PROBLEMS.md: {code}"
            );
        }
        assert_eq!(documentation("no_such_reason"), None);
    }
}
