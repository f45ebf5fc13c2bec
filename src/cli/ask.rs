//! Questions to the running gateway, by its admin listener.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Failure, Globals};
use crate::clock;

/// How long the gateway may be silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the whole of an answer may take.
const WHOLE: Duration = Duration::from_mins(1);
/// More than any answer needs.
const MOST: usize = 64 * 1024 * 1024;

/// What the gateway answers to `GET path?query`: that of the configuration, or the one that is named.
pub(super) fn ask(
    globals: &Globals,
    path: &str,
    query: &[(&str, Option<&str>)],
) -> Result<Value, Failure> {
    let wanted = query
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let query: Vec<_> = wanted
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    let target = format!("{path}?{}", query.join("&"));
    if let Some(server) = globals.server()? {
        return server.get(&target);
    }
    let address = address(globals, "")?;
    answered(address, get(address, &target, WHOLE))
}

/// What the gateway answers to `POST path`, for which it may take so long: that of the configuration, or
/// the one that is named.
pub(super) fn order(
    globals: &Globals,
    path: &str,
    patience: Duration,
    otherwise: &str,
) -> Result<Value, Failure> {
    if let Some(server) = globals.server()? {
        return server.post(path, &Value::Object(serde_json::Map::new()));
    }
    let address = address(globals, otherwise)?;
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let whole = patience.saturating_add(WHOLE);
    answered(address, talk(address, &request, (patience, whole)))
}

/// Where the gateway answers; `otherwise` is what else can be done when it does nowhere.
fn address(globals: &Globals, otherwise: &str) -> Result<SocketAddr, Failure> {
    let admin = globals.load_config()?.admin;
    { admin.map(|admin| admin.address) }.ok_or_else(|| {
        Failure::Refused(format!(
            "{} has no [admin] address, so the gateway cannot be asked; write a table [admin] with \
             address = \"127.0.0.1:9443\" and start the gateway again{otherwise}",
            globals.config_file().display()
        ))
    })
}

fn answered(address: SocketAddr, answer: anyhow::Result<(u16, String)>) -> Result<Value, Failure> {
    let (status, body) = answer.map_err(Failure::Unavailable)?;
    let answer: Value = serde_json::from_str(&body)
        .context("the answer is not JSON; is the gateway of another version?")?;
    let error = || answer.get("detail").and_then(Value::as_str);
    match status {
        200 => Ok(answer),
        400 => Err(Failure::Usage(error().unwrap_or("refused").to_owned())),
        status => Err(Failure::Unavailable(anyhow!(
            "the gateway at {address} answers {status}: {}; is it of another version?",
            error().unwrap_or("without a reason")
        ))),
    }
}

/// Status and body of the answer to `GET target`, which may take so long altogether.
pub(super) fn get(
    address: SocketAddr,
    target: &str,
    whole: Duration,
) -> anyhow::Result<(u16, String)> {
    let request = format!("GET {target} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    talk(address, &request, (PATIENCE, whole))
}

/// Status and body of the answer to `request`. That is of HTTP/1.0, so that the body ends where the
/// connection does. The gateway may be silent for as long as `patience`, and take the `whole` time.
fn talk(
    address: SocketAddr,
    request: &str,
    (patience, whole): (Duration, Duration),
) -> anyhow::Result<(u16, String)> {
    let begun = clock::monotonic();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| {
        format!(
            "no gateway answers at {address}; does it run, with this configuration? \
             (keyferry run)"
        )
    })?;
    let mut talk = || -> std::io::Result<Vec<u8>> {
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut part) = (Vec::new(), [0; 8192]);
        loop {
            let left = whole.saturating_sub(begun.elapsed()).min(patience);
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            if answer.len() > MOST {
                return Err(ErrorKind::FileTooLarge.into());
            }
            stream.set_read_timeout(Some(left))?;
            let read = stream.read(&mut part)?;
            if read == 0 {
                return Ok(answer);
            }
            answer.extend_from_slice(part.get(..read).unwrap_or_default());
        }
    };
    let answer = talk().with_context(|| format!("the gateway at {address} does not answer"))?;
    let answer = String::from_utf8(answer)?;
    let status = answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
        _ => bail!("what listens at {address} is no such listener of a gateway"),
    }
}
