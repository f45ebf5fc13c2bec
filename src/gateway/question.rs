//! The gateway as an authenticator: a proxy in front that passes requests on by itself asks about each of
//! them, and gets the headers that make its backend believe it.
//!
//! The decision is that of any request, with the head of the one that is asked about. Only a front that is
//! there to ask is answered ([`crate::front::Front::asks`]), and it does nothing else: so no client whose
//! request a front brings can ask, and no question becomes a request to a backend.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;
use http::header::HeaderName;
use http::request::Parts;
use pingora::http::{RequestHeader, ResponseHeader};

use super::exchange::{Exchange, Leave};
use super::self_service::Answer;
use super::{Code, Gateway, Refusal, strict};
use crate::clock;
use crate::door::Connection;
use crate::front::{Form, Unclear};
use crate::head::Head;
use crate::policy::Permit;
use crate::sign::header::{self, CONTENT_DIGEST};
use crate::sign::{Message, Signed};
use crate::upstream::{self, CannotSend};

/// Where questions come, below the path of self-service; in [`Form::RequestLine`] with the target behind it.
pub(super) const RESOURCE: &str = "authenticate";
/// What of the request must go no further: the headers that the gateway would take away. The name is
/// Envoy's, which heeds it by itself.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
/// The refusal in headers, for proxies that drop its body.
const REASON: HeaderName = HeaderName::from_static("x-refusal-reason");
const DOCUMENT: HeaderName = HeaderName::from_static("x-refusal-document");
/// A longer document fits into no proxy's buffer for heads.
const LONGEST_DOCUMENT: usize = 8 * 1024;

const NO_QUESTION: Unclear = Unclear(
    "this front asks, and nothing that it sends is passed on; have it send the clients' own calls as another \
     front, with another certificate or secret",
);
const TWO_TARGETS: Unclear =
    Unclear("the question tells of the request in two ways, in its path as well");
const OWN_CALL: Unclear = Unclear(
    "the clients' own calls are for the gateway itself; have the proxy send this path there",
);
const DISGUISED: Unclear = Unclear(
    "backends may take a header of the request for one that is signed under another name; leave it out",
);
const TWO_DIGESTS: Unclear = Unclear("the request has Content-Digest more than once");

/// The target that a question tells with its own path: what of `resource`, the path below that of
/// self-service, stands behind the place for questions. None where it is another place.
pub(super) fn asked(resource: &str) -> Option<&str> {
    let target = resource.strip_prefix(RESOURCE)?;
    (target.is_empty() || target.starts_with('/')).then_some(target)
}

/// The method of a request that is a question by its path as it came, below `base`.
pub(super) fn asked_by(request: &RequestHeader, base: &str) -> Option<Method> {
    let resource = request.raw_path().strip_prefix(base.as_bytes())?;
    let resource = resource.split(|b| *b == b'?').next()?;
    asked(std::str::from_utf8(resource).ok()?).map(|_| request.method.clone())
}

/// What a front sends that is there to ask.
pub(super) struct Question<'a> {
    pub(super) request: &'a Parts,
    /// The target that its own path tells, as [`asked`] reads it, and its query.
    pub(super) target: Option<&'a str>,
    pub(super) query: Option<&'a str>,
    /// The form in which this front asks.
    pub(super) form: Form,
}

impl Question<'_> {
    /// Answers it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], of the request that it asks about or of the question.
    pub(super) async fn answer(
        &self,
        gateway: &Gateway,
        connection: &Connection,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refusal> {
        exchange.question = Some(self.request.method.clone());
        let (request, target) = self.read()?;
        exchange.question = Some(request.method.clone());
        strict::method(&request.method)?;
        let head = Head::read(&request, &target, &gateway.parts.format)?;
        exchange.note_head(&head);
        can_be_answered(&head, exchange)?;
        let connection = connection.under(exchange.live.asking.policy(Some(head.host())));
        exchange.behind_front = Some(connection.clone());
        let leave = gateway.decide(&head, &connection, exchange).await?;
        let head = told_of(&head, &leave, gateway, exchange)?;
        exchange.leave = Some(leave);
        let body = Bytes::new();
        Ok(Answer { head, body })
    }

    /// The request that it asks about, and its target.
    fn read(&self) -> Result<(Parts, Vec<u8>), Unclear> {
        let told = self.target.ok_or(NO_QUESTION)?;
        if self.form != Form::RequestLine && !told.is_empty() {
            return Err(TWO_TARGETS);
        }
        let target = match self.query {
            Some(query) => [told, "?", query].concat(),
            None => told.to_owned(),
        };
        self.form.read(self.request, target.as_bytes())
    }
}

/// Refuses what the gateway would mend or keep for itself on the way to a backend, where it is not on the
/// way.
fn can_be_answered(head: &Head<'_>, exchange: &Exchange) -> Result<(), Unclear> {
    let live = &exchange.live;
    let mut digests = head.headers.get_all(CONTENT_DIGEST).iter();
    if head.canonical_path().starts_with(&live.self_service.path) {
        Err(OWN_CALL)
    } else if header::disguised(head.headers, &live.names).is_some() {
        Err(DISGUISED)
    } else if digests.next().is_some() && digests.next().is_some() {
        Err(TWO_DIGESTS)
    } else {
        Ok(())
    }
}

/// The yes: whom the backend is to be told of, signed for the request as the proxy passes it on, and what
/// must not be passed on with it.
fn told_of(
    head: &Head<'_>,
    leave: &Leave,
    gateway: &Gateway,
    exchange: &Exchange,
) -> Result<ResponseHeader, Refusal> {
    let cannot = |_| Refusal::Internal("an answer could not be made");
    let mut answer = ResponseHeader::build(200, Some(16)).map_err(cannot)?;
    // Where it only observes, nobody is vouched for.
    if let Leave::Permitted(permit) = leave {
        for (name, value) in signed(head, permit, exchange)?.into_headers() {
            answer.insert_header(name, value).map_err(cannot)?;
        }
    }
    let format = &gateway.parts.format;
    let mut made = None;
    let mut rules = exchange.rules(format, &mut made);
    // The proxy tells the backend of the trace.
    rules.trace.keeps_others = true;
    let tells = |name: &HeaderName| {
        let form = exchange.asks();
        form.is_some_and(|form| form.is_told_in(name.as_str()))
    };
    // Whom the existing gateway names stays, as with any request of its.
    let observing = exchange.live.observing.as_ref();
    let kept = observing.and_then(|observing| observing.identity_header.as_ref());
    let unwanted = head.headers.keys().filter(|name| {
        let mut values = head.headers.get_all(*name).iter();
        // What the answer has takes the place of what came.
        !answer.headers.contains_key(*name)
            && !header::OF_THE_WAY.contains(&name.as_str())
            && values.any(|value| match leave {
                Leave::Permitted(_) => upstream::is_unwanted(name, value, &rules),
                Leave::Observed(_) => {
                    upstream::is_for_us(name, value, format)
                        || tells(name)
                        || (header::is_reserved(name.as_str(), rules.names) && Some(*name) != kept)
                }
            })
    });
    let unwanted: Vec<_> = unwanted.map(HeaderName::as_str).collect();
    if !unwanted.is_empty() {
        answer
            .insert_header(REMOVE, unwanted.join(","))
            .map_err(cannot)?;
    }
    Ok(answer)
}

/// The headers that tell the backend of whom `permit` names.
fn signed(head: &Head<'_>, permit: &Permit, exchange: &Exchange) -> Result<Signed, Refusal> {
    let signer = exchange.live.signer(permit.route());
    let message = Message::of(head, head.headers.get(CONTENT_DIGEST)).map_err(CannotSend::from);
    message
        .and_then(|message| upstream::signed(&message, permit, signer, clock::now()))
        .map_err(|_| Refusal::Internal("the request cannot be signed"))
}

/// Tells a refusal in headers as well.
///
/// # Errors
///
/// When the head takes no more headers.
pub(super) fn tell(answer: &mut ResponseHeader, code: Code, document: &str) -> pingora::Result<()> {
    answer.insert_header(REASON, code.as_str())?;
    let document = in_ascii(document);
    if document.len() <= LONGEST_DOCUMENT {
        answer.insert_header(DOCUMENT, document)?;
    }
    Ok(())
}

/// The same JSON in characters that can stand in a header (RFC 8259 section 7).
fn in_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn h12_a_document_in_a_header_says_the_same_and_ends_no_line(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let ascii = in_ascii(&json);
            prop_assert!(ascii.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(serde_json::from_str::<String>(&ascii).unwrap(), text);
        }
    }
}
