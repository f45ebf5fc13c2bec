//! The access line: one a request, with everything that explains its outcome and no secret.

use std::cell::RefCell;
use std::fmt::Display;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tracing::Level;

use crate::client::ClientId;
use crate::clock;
use crate::key::KeyId;
use crate::policy::Route;
use crate::trace::Trace;

/// What is told of one request.
#[derive(Debug)]
pub struct AccessLine<'a> {
    /// The request's id, which the client and the backend saw too.
    pub request_id: &'a str,
    /// Its trace.
    pub trace: &'a Trace,
    /// The address that the connection came from.
    pub peer: &'a str,
    /// The version of HTTP: `1.1`, `2`.
    pub http: &'static str,
    /// The method.
    pub method: &'a str,
    /// Whether a front asked about it, and got an answer in place of a backend's.
    pub question: bool,
    /// The host that was asked for.
    pub host: &'a str,
    /// The path, without the query; shortened, and emptied when a key stands in it.
    pub path: &'a str,
    /// The route, when one was found.
    pub route: Option<&'a Route>,
    /// The status that the client got; 0 when it got none.
    pub status: u16,
    /// Why it was refused: the code that the client saw.
    pub reason: Option<&'a str>,
    /// What the client was not told.
    pub detail: Option<&'a str>,
    /// On a gateway that observes: `passed` when the request went on as it came, whatever was decided;
    /// `enforced` when it did not.
    pub observe: Option<&'static str>,
    /// Why a request that was passed on would have been refused.
    pub would_refuse: Option<&'a str>,
    /// Why the gateway ended it before it was over.
    pub closed: Option<&'static str>,
    /// `certificate`, `key`, `both` or `none`.
    pub auth: &'static str,
    /// How it is known that the client holds the key of its certificate: `proven`, or `asserted` by a
    /// front.
    pub assurance: Option<&'static str>,
    /// The front that brought the request.
    pub front: Option<&'a str>,
    /// The client's address behind a front, as far as the front tells it.
    pub client_address: Option<String>,
    /// Who called.
    pub client: Option<&'a ClientId>,
    /// The key id that the backend saw.
    pub key: Option<KeyId>,
    /// What was wrong with a certificate beside a good key.
    pub certificate_problem: Option<&'static str>,
    /// The address of the backend.
    pub upstream: Option<&'a str>,
    /// How often the request was sent to a backend.
    pub attempts: u32,
    /// When its head came.
    pub begun: Instant,
    /// From the request's head to the answer's end.
    pub duration: Duration,
    /// Bytes of body that went to the client.
    pub sent: usize,
    /// Bytes of body that came from the client.
    pub received: usize,
    /// The TLS version.
    pub tls: Option<&'a str>,
    /// Whether the TLS session was resumed.
    pub resumed: bool,
}

impl AccessLine<'_> {
    /// Writes the line, as the other lines of the log are written, when lines of this kind are wanted.
    ///
    /// It is made here and not by an event: there is one a request, and the record of an event costs
    /// several times as much. A line goes out in one piece, so no lock is needed to keep it whole.
    pub fn write(&self) {
        if !tracing::enabled!(target: "access", Level::INFO) {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            if serde_json::to_writer(&mut *line, self).is_ok() {
                line.push(b'\n');
                write_out(line);
            }
        });
    }
}

thread_local! {
    /// Where a line is put together.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to standard error. What it does not take is lost, as of every line.
fn write_out(mut line: &[u8]) {
    while !line.is_empty() {
        match rustix::io::write(std::io::stderr(), line) {
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

impl Serialize for AccessLine<'_> {
    /// One object, of whatever there is to tell.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trace = self.trace;
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let mut line = Line(serializer.serialize_map(None)?);
        line.tell("timestamp", Some(Shown(written_now())))?;
        line.tell("level", Some("INFO"))?;
        line.tell("message", Some("request"))?;
        line.tell("request_id", Some(self.request_id))?;
        line.tell("trace_id", trace.id().map(Shown))?;
        line.tell("trace_recorded", trace.span().map(|span| span.is_sampled()))?;
        line.tell("peer", Some(self.peer))?;
        line.tell("http", Some(self.http))?;
        line.tell("method", Some(self.method))?;
        line.tell("question", self.question.then_some(true))?;
        line.tell("host", Some(self.host))?;
        line.tell("path", Some(self.path))?;
        line.tell("route", self.route.map(|route| &route.name))?;
        line.tell("status", Some(self.status))?;
        line.tell("reason", self.reason)?;
        line.tell("detail", self.detail)?;
        line.tell("observe", self.observe)?;
        line.tell("would_refuse", self.would_refuse)?;
        line.tell("closed", self.closed)?;
        line.tell("auth", Some(self.auth))?;
        line.tell("assurance", self.assurance)?;
        line.tell("front", self.front)?;
        line.tell("client_address", self.client_address.as_ref())?;
        line.tell("client", self.client.map(ClientId::as_str))?;
        line.tell("key_id", self.key.map(Shown))?;
        line.tell("certificate_problem", self.certificate_problem)?;
        line.tell("upstream", self.upstream)?;
        line.tell("attempts", Some(self.attempts))?;
        line.tell("duration_us", Some(micros(self.duration)))?;
        line.tell("sent", Some(self.sent))?;
        line.tell("received", Some(self.received))?;
        line.tell("tls", self.tls)?;
        line.tell("resumed", Some(self.resumed))?;
        line.tell("target", Some("access"))?;
        line.0.end()
    }
}

/// A line under construction.
struct Line<M>(M);

impl<M: SerializeMap> Line<M> {
    /// Tells of one thing, when it is there.
    fn tell(&mut self, name: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.0.serialize_entry(name, &value))
    }
}

/// What stands in the line as it is shown.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The time, as the other lines have it: RFC 3339, UTC, to the microsecond.
fn written_now() -> impl Display {
    let since = jiff::SignedDuration::try_from(clock::since_epoch()).unwrap_or_default();
    let now = jiff::Timestamp::from_duration(since).unwrap_or_default();
    std::fmt::from_fn(move |f| write!(f, "{now:.6}"))
}
