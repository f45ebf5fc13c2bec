//! Whether a backend may believe a request: a verifier of our signature (PROTOCOL 3, RFC 9421)
//! that shares no code with the program, and two that are not ours at all.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::backend::Recorded;
use super::python;

/// What every request has to be signed over, at the least.
pub(crate) const COVERED: [&str; 6] = [
    "@method",
    "@authority",
    "@path",
    "@query",
    "x-key-id",
    "x-client-id",
];

/// Checks the one signature `gw` of a request under `secret`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn verify(request: &Recorded, secret: &[u8]) -> Result<(), String> {
    let input = only(request, "signature-input")?;
    let params = input.strip_prefix("gw=").ok_or("another label than gw")?;
    let signature = only(request, "signature")?
        .strip_prefix("gw=:")
        .and_then(|rest| rest.strip_suffix(':'))
        .ok_or("the signature is not one byte sequence named gw")?;
    let signature = STANDARD.decode(signature).map_err(|e| e.to_string())?;
    let (covered, parameters) = params
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .ok_or("no list of components")?;
    for parameter in [r#";alg="hmac-sha256""#, r#";tag="keyferry""#] {
        if !parameters.contains(parameter) {
            return Err(format!("{parameter} is missing"));
        }
    }
    let components: Vec<_> = covered.split(' ').map(|c| c.trim_matches('"')).collect();
    if let Some(left_out) = COVERED.iter().find(|name| !components.contains(name)) {
        return Err(format!("{left_out} is not covered"));
    }
    let mut lines = Vec::new();
    for name in components {
        lines.push(format!("\"{name}\": {}", component(request, name)?));
    }
    lines.push(format!("\"@signature-params\": {params}"));
    let base = lines.join("\n");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|e| e.to_string())?;
    mac.update(base.as_bytes());
    mac.verify_slice(&signature)
        .map_err(|_| format!("the signature does not fit\n{base}"))
}

/// Checks it with the library `http-message-signatures` of `PyPI`.
///
/// # Errors
///
/// What that library says is wrong.
pub(crate) fn verify_in_python(request: &Recorded, secret: &[u8]) -> Result<(), String> {
    verify_elsewhere("verify_signature.py", request, secret)
}

/// Checks it with the library `http-message-signatures` of npm.
///
/// # Errors
///
/// What that library says is wrong.
pub(crate) fn verify_in_node(request: &Recorded, secret: &[u8]) -> Result<(), String> {
    verify_elsewhere("verify_signature.mjs", request, secret)
}

/// Where a JWK set is: its URL, the port at this machine, and the authority of that server.
pub(crate) type KeySet<'a> = (&'a str, u16, &'a Path);

/// Checks one by Ed25519 with that library, and the key that `PyJWT` fetches.
///
/// # Errors
///
/// What that library says is wrong.
pub(crate) fn verify_by_set_in_python(request: &Recorded, set: KeySet<'_>) -> Result<(), String> {
    verify_by_set("verify_signature.py", request, set)
}

/// The same with the library of npm, and the key as Node reads it.
///
/// # Errors
///
/// What that library says is wrong.
pub(crate) fn verify_by_set_in_node(request: &Recorded, set: KeySet<'_>) -> Result<(), String> {
    verify_by_set("verify_signature.mjs", request, set)
}

fn verify_by_set(
    script: &str,
    request: &Recorded,
    (url, port, authority): KeySet<'_>,
) -> Result<(), String> {
    let set = json!({ "url": url, "port": port, "authority": authority });
    said(
        script,
        &json!({ "request": request, "set": set, "covered": COVERED }),
    )
}

fn verify_elsewhere(script: &str, request: &Recorded, secret: &[u8]) -> Result<(), String> {
    let secret = hex::encode(secret);
    said(
        script,
        &json!({ "request": request, "secret_hex": secret, "covered": COVERED }),
    )
}

fn said(script: &str, given: &Value) -> Result<(), String> {
    match python::run(script, given)["error"].as_str() {
        None => Ok(()),
        Some(error) => Err(error.to_owned()),
    }
}

fn only<'a>(request: &'a Recorded, name: &str) -> Result<&'a str, String> {
    match request.all(name)[..] {
        [value] => Ok(value),
        ref found => Err(format!("{} times {name}", found.len())),
    }
}

fn component(request: &Recorded, name: &str) -> Result<String, String> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    Ok(match name {
        "@method" => request.method.clone(),
        "@authority" => only(request, "host")?.to_ascii_lowercase(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        _ => match request.all(name)[..] {
            [] => return Err(format!("{name} is covered and absent")),
            ref values => values.join(", "),
        },
    })
}
