//! `/v1/…`: what the operator's commands do, by the same code.
//!
//! The path is the command, and the parameters are its options: `keyferry client list --stage cert-only` is
//! `GET /v1/client/list?stage=cert-only`, and `keyferry client disable a b` is `POST /v1/client/disable` with
//! `{"ids": ["a", "b"]}`. What only looks is asked with GET, what changes with POST.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::access::Who;
use super::answer::{Problem, json as answered};
use super::idempotency::{self, Begun};
use super::{Admin, Peer};
use crate::clock;
use crate::operation::{
    Failure, Offered, Operation, Operator, Out, Output, Parameter, Takes, Told,
};
use crate::store::{Actor, Origin, RecordId};

/// By which a command says in what form it wants to be told everything that the operation prints.
pub(crate) const OUTPUT: HeaderName = HeaderName::from_static("keyferry-output");

impl Admin {
    /// The answer to a request for the operation `name` by `who`.
    pub(super) async fn operate(
        self: Arc<Self>,
        (name, who): (&str, Who),
        peer: Peer,
        request: Request,
    ) -> Result<Response, Problem> {
        let offered = Offered::named(name).ok_or_else(|| {
            Problem::no_such_page("there is no such operation; see /openapi.json")
        })?;
        let (mut head, _) = request.into_parts();
        let method = if offered.changes {
            Method::POST
        } else {
            Method::GET
        };
        if head.method != method {
            return Err(Problem::method(if offered.changes {
                "POST"
            } else {
                "GET"
            }));
        }
        if who.role < offered.role {
            return Err(forbidden(offered));
        }
        let output = output(&head.headers)?;
        let (given, known) = if offered.changes {
            let body: Bytes = head.extensions.remove().unwrap_or_default();
            let form = format!("{output:?}");
            let whole = [name.as_bytes(), form.as_bytes(), &body];
            let known = idempotency::named(&head.headers, &who.name, &whole)?;
            (in_body(&head.headers, &body)?, known)
        } else {
            let query = head.uri.query().unwrap_or_default();
            (in_query(query, &offered.parameters())?, None)
        };
        let form = output.unwrap_or(Output::Json);
        let mut asked = Asked::of((offered, &given), who, peer, form)?;
        asked.is_of_a_command = output.is_some();
        let Some(known) = known else {
            return self.carry_out(asked).await.0;
        };
        let turn = match self.remembered.begin(known)? {
            Begun::Now(turn) => turn,
            Begun::Before(answer) => return Ok(answer),
        };
        // It is done and remembered, also when whoever asked is gone by then.
        let done = tokio::spawn(async move {
            let (answer, is_secret) = self.carry_out(asked).await;
            turn.end(answer.into_response(), is_secret).await
        });
        done.await
            .map_err(|error| Failure::Internal(error.into()).into())
    }

    /// The answer to what was asked, and whether it holds a secret.
    async fn carry_out(self: Arc<Self>, asked: Asked) -> (Result<Response, Problem>, bool) {
        let is_of_a_command = asked.is_of_a_command;
        let done = match self.in_turn(asked).await {
            Ok(done) => done,
            Err(problem) => return (Err(problem), false),
        };
        let is_secret = |told: &Told| matches!(told, Told::Secret { .. });
        let is_secret = done.told.iter().any(is_secret);
        let answer = if is_of_a_command {
            Ok(answered(StatusCode::OK, &done))
        } else {
            done.report()
                .map(|report| answered(StatusCode::OK, &report))
        };
        (answer, is_secret)
    }

    /// Has an operation carried out with the parameters `given`, for `who` asks from `peer`.
    pub(super) async fn perform(
        self: Arc<Self>,
        (offered, given): (Offered, &Map<String, Value>),
        who: Who,
        peer: Peer,
        output: Output,
    ) -> Result<Done, Problem> {
        let asked = Asked::of((offered, given), who, peer, output)?;
        self.in_turn(asked).await
    }

    /// Does what was asked. It may take its time, so it is not done where others are answered.
    async fn in_turn(self: Arc<Self>, asked: Asked) -> Result<Done, Problem> {
        // Whoever looks at much keeps nobody from revoking.
        let turns = match (asked.changes, asked.asks_others) {
            (true, _) => &self.changes,
            (false, true) => &self.examinations,
            (false, false) => &self.looks,
        };
        let turn = Arc::clone(turns).acquire_owned().await;
        let turn = turn.map_err(|_| busy())?;
        let here = tokio::runtime::Handle::current();
        let work = move || {
            let _turn = turn;
            here.block_on(asked.carry_out(&self))
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Failure::Internal(error.into()))?
    }
}

/// An operation, and by whom and from where.
struct Asked {
    operation: Operation,
    changes: bool,
    asks_others: bool,
    output: Output,
    /// Whether what is told is printed by a command, with all that there is.
    is_of_a_command: bool,
    actor: Actor,
    origin: Origin,
}

/// All that an operation printed, and the status of a command that does it.
#[derive(serde::Deserialize, serde::Serialize)]
pub(crate) struct Done {
    pub(crate) status: u8,
    pub(crate) told: Vec<Told>,
    /// The records that were changed.
    #[serde(skip)]
    pub(super) changed: Vec<RecordId>,
}

impl Asked {
    /// What is asked for with the parameters `given`, by `who` from `peer`.
    fn of(
        (offered, given): (Offered, &Map<String, Value>),
        who: Who,
        peer: Peer,
        output: Output,
    ) -> Result<Self, Problem> {
        if who.role < offered.role {
            return Err(forbidden(offered));
        }
        let operation = offered.asked(given);
        let operation = operation.map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
        Ok(Self {
            operation,
            changes: offered.changes,
            asks_others: offered.asks_others,
            output,
            is_of_a_command: false,
            actor: Actor::Operator { name: who.name },
            origin: Origin::Request {
                id: clock::unique().simple().to_string(),
                address: peer.0,
            },
        })
    }

    async fn carry_out(self, admin: &Admin) -> Result<Done, Problem> {
        let settings = Arc::clone(&admin.live.load().operations);
        let store = Arc::clone(&admin.store);
        let operator = Operator::new(settings, store, (self.actor, self.origin));
        let mut operator = operator.knowing(admin.directory.epoch());
        if !self.changes {
            operator = operator.looking_through(&admin.kept);
        }
        let mut out = Out::new(self.output);
        out.hold();
        let done = self.operation.run(&operator, &mut out).await;
        let finished = operator.finish(&mut out);
        let status = match done.and_then(|status| finished.map(|()| status)) {
            Ok(status) => status,
            // It stands, and so it is told what was done.
            Err(failure @ Failure::NotReplicated) => {
                out.note(&failure);
                failure.status()
            }
            Err(failure) if self.is_of_a_command => {
                out.failure(&failure);
                failure.status()
            }
            Err(failure) => return Err(Problem::from(failure).beside(report(out.told())?.0)),
        };
        // Whoever revokes a key is told so when it is refused here.
        if let Ok(head) = operator.head().await {
            let _ = admin.directory.wait_for(head.epoch).await;
        }
        Ok(Done {
            status,
            told: out.told(),
            changed: operator.changed(),
        })
    }
}

/// The document that was printed, and the notes beside it.
fn report(told: Vec<Told>) -> Result<(Value, Vec<String>), Problem> {
    let (mut report, mut notes) = (Value::Null, Vec::new());
    for told in told {
        match told {
            Told::Note(note) => notes.push(note),
            Told::Line(text) | Told::Secret { text, .. } => {
                let read = serde_json::from_str(&text);
                report = read.map_err(|error| Failure::Internal(error.into()))?;
            }
        }
    }
    Ok((report, notes))
}

impl Done {
    /// The document that it printed, with notes in it.
    pub(super) fn report(self) -> Result<Value, Problem> {
        let (mut report, notes) = report(self.told)?;
        if let (Value::Object(report), false) = (&mut report, notes.is_empty()) {
            report.insert("notes".to_owned(), json!(notes));
        }
        Ok(report)
    }
}

/// In what form everything is told that is printed, when that is asked for.
fn output(headers: &HeaderMap) -> Result<Option<Output>, Problem> {
    match headers.get(OUTPUT).map(http::HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"text") => Ok(Some(Output::Text)),
        Some(b"json") => Ok(Some(Output::Json)),
        Some(_) => Err(Problem::bad_request("Keyferry-Output is text or json")),
    }
}

/// The parameters in the body: one JSON object.
fn in_body(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    let sent = headers
        .get(CONTENT_TYPE)
        .and_then(|sent| sent.to_str().ok());
    let sent = sent
        .and_then(|sent| sent.split(';').next())
        .unwrap_or_default();
    if !sent.trim().eq_ignore_ascii_case("application/json") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "send Content-Type: application/json";
        return Err(Problem::new(status, "unsupported_media_type", detail));
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is no JSON object: {error}")))
}

/// The parameters in the query. Which of them are switches, and which may be there several times, the
/// operation says.
pub(super) fn in_query(
    query: &str,
    parameters: &[Parameter],
) -> Result<Map<String, Value>, Problem> {
    let mut given = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let takes = parameters.iter().find(|one| one.name == name);
        let value = match (takes.map(|one| one.takes), value.as_ref()) {
            (Some(Takes::Switch), "true") => Value::Bool(true),
            (Some(Takes::Switch), "false") => Value::Bool(false),
            (_, text) => Value::String(text.to_owned()),
        };
        match (given.get_mut(name.as_ref()), takes.map(|one| one.takes)) {
            (None, Some(Takes::Several)) => {
                given.insert(name.into_owned(), Value::Array(vec![value]));
            }
            (None, _) => {
                given.insert(name.into_owned(), value);
            }
            (Some(Value::Array(several)), _) => several.push(value),
            (Some(_), _) => {
                return Err(Problem::bad_request(format!("{name} is there twice")));
            }
        }
    }
    Ok(given)
}

fn forbidden(offered: Offered) -> Problem {
    let detail = format!("{} is not for the role of this token", offered.name);
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn busy() -> Problem {
    let detail = "the gateway is about to stop";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}
