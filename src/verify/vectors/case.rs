//! One vector: a request as it stands on the wire, and what a verifier must make of it.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::Mac;
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::secret::{Secret, SecretBytes};
use crate::sign::tests::signed_as;
use crate::sign::{Message, SigningKey};

/// The time at which every case is judged.
pub(super) const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);
/// What the gateway signs with, and what it signs with next. The second is text, as `openssl` makes it.
pub(super) const KEY: &str = "orders-2026-11";
pub(super) const NEXT: &str = "orders-2026-12";

/// Reasons of docs/VERIFY.md.
pub(super) const HEADER: &str = "signature_header";
pub(super) const FORM: &str = "signature_malformed";
pub(super) const UNKNOWN: &str = "signature_key_unknown";
pub(super) const MISMATCH: &str = "signature_mismatch";
pub(super) const TIME: &str = "signature_not_current";
pub(super) const DISGUISED: &str = "header_disguised";

pub(super) const INPUT: &str = "Signature-Input";
pub(super) const SIGNATURE: &str = "Signature";

/// A name, the reason, and what somebody does to what the gateway signed.
pub(super) type Change = (&'static str, &'static str, fn(&mut Case));

const KEY_ID: &str = "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f";
const CLIENT: &str = "acme-payments";
/// Of the example in docs/SIGNATURE.md; each case counts on from it.
const NONCE: u128 = 0x0197_f3c2_a1b2_7c3d_8e4f_5a6b_7c8d_9e10;

pub(super) fn secrets() -> [(&'static str, SecretBytes); 2] {
    let text = b"9f2c4e6a8b0d1f3355779bbddff00224466880aacceeff1133557799bbddff01";
    [
        (KEY, Secret::new((0..32).collect())),
        (NEXT, Secret::new(text.to_vec())),
    ]
}

fn secret(id: &str) -> SecretBytes {
    let found = secrets().into_iter().find(|(name, _)| *name == id);
    found.map_or_else(|| Secret::new(vec![0; 32]), |(_, secret)| secret)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    Accept {
        client: String,
        key_id: String,
        scopes: String,
    },
    /// A reason of docs/VERIFY.md.
    Refuse(String),
}

/// Each character of a text is one byte on the wire.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) target: String,
    /// When it is another than HTTP/1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<&'static str>,
    /// `Host` as sent; none: no such header.
    pub(super) authority: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    pub(super) expect: Expect,
    #[serde(skip)]
    pub(super) is_signed_again: bool,
}

/// What is to be signed: `GET /v1/orders?limit=10` in the name of a client, and what differs from that.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) authority: &'static str,
    pub(super) scopes: &'static [&'static str],
    pub(super) body: Option<(&'static str, &'static str)>,
    pub(super) key: &'static str,
    /// Seconds from now.
    pub(super) signed_at: i64,
}

pub(super) const ORDERS: Asked = Asked {
    method: "GET",
    target: "/v1/orders?limit=10",
    authority: "api.example.com",
    scopes: &[],
    body: None,
    key: KEY,
    signed_at: 0,
};

impl Asked {
    /// The request as the gateway sends it, signed by the gateway's own signer with the secret.
    pub(super) fn signed(&self, name: &str, number: usize) -> Case {
        let key = SigningKey::new(self.key, &secret(self.key)).unwrap();
        self.signed_with(key, name, number)
    }

    /// The same with another key than its own.
    pub(super) fn signed_with(&self, key: SigningKey, name: &str, number: usize) -> Case {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        };
        let message = Message {
            method: self.method,
            authority: self.authority,
            path,
            query,
            content_digest: self.body.map(|(_, digest)| digest),
        };
        let nonce = uuid::Uuid::from_u128(NONCE + number as u128);
        let at = Timestamp::from_unix(NOW.as_unix() + self.signed_at);
        let made = signed_as(&message, key, (KEY_ID, CLIENT, self.scopes), nonce, at);
        let value = |name: &str| {
            made.get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let digest = self.body.map(|(_, digest)| digest.to_owned());
        let headers = [
            ("X-Key-Id", value("x-key-id")),
            ("X-Client-Id", value("x-client-id")),
            ("X-Key-Scopes", value("x-key-scopes")),
            ("Content-Digest", digest),
            (INPUT, value("signature-input")),
            (SIGNATURE, value("signature")),
        ];
        let there = headers.into_iter();
        let there = there.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Case {
            name: name.to_owned(),
            method: self.method.to_owned(),
            target: self.target.to_owned(),
            version: None,
            authority: Some(self.authority.to_owned()),
            headers: there.collect(),
            body: self.body.map(|(body, _)| body.to_owned()),
            expect: Expect::Accept {
                client: CLIENT.to_owned(),
                key_id: KEY_ID.to_owned(),
                scopes: self.scopes.join(" "),
            },
            is_signed_again: false,
        }
    }
}

impl Case {
    pub(super) fn refused(mut self, reason: &str) -> Self {
        self.expect = Expect::Refuse(reason.to_owned());
        self
    }

    /// All values of a header, as one.
    pub(super) fn value(&self, name: &str) -> String {
        let fields = self.headers.iter();
        let fields = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let values: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        let mut fields = self.headers.iter_mut();
        let field = fields.find(|(found, _)| found == name).expect(name);
        value.clone_into(&mut field.1);
    }

    /// Replaces a part of a header's value, which must be there.
    pub(super) fn edit(&mut self, name: &str, from: &str, to: &str) {
        let value = self.value(name);
        assert!(value.contains(from), "{}: no {from} in {value}", self.name);
        self.set(name, &value.replacen(from, to, 1));
    }

    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn drop(&mut self, name: &str) {
        self.headers.retain(|(found, _)| found != name);
    }

    /// The signature base of what its `Signature-Input` names, whatever that is, and the label there.
    pub(super) fn base(&self) -> (String, String) {
        let input = self.value(INPUT);
        let (label, parameters) = input.split_once('=').unwrap();
        let listed = parameters.split_once('(').unwrap().1;
        let listed = listed.split_once(')').unwrap().0;
        let mut base = String::new();
        for component in listed.split(' ').filter(|one| !one.is_empty()) {
            let name = component.split('"').nth(1).unwrap();
            base += &[component, ": ", &self.component(name), "\n"].concat();
        }
        base += &["\"@signature-params\": ", parameters].concat();
        (base, label.to_owned())
    }

    /// Signs what its `Signature-Input` names.
    pub(super) fn sign_again(&mut self, key: &str) {
        let (base, label) = self.base();
        let mut mac = crate::key::keyed(secret(key).expose());
        mac.update(base.as_bytes());
        let mac = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        self.set(SIGNATURE, &format!("{label}=:{mac}:"));
    }

    /// Changes input and signature alike.
    pub(super) fn both(&mut self, change: fn(&str) -> String) {
        for name in [INPUT, SIGNATURE] {
            let value = change(&self.value(name));
            self.set(name, &value);
        }
    }

    /// What its signature stands for.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let text = self.value(SIGNATURE);
        BASE64_STANDARD.decode(&text[4..text.len() - 1]).unwrap()
    }

    pub(super) fn put(&mut self, text: &str) {
        self.set(SIGNATURE, &format!("gw=:{text}:"));
    }

    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(&BASE64_STANDARD.encode(bytes));
    }

    pub(super) fn change_bytes(&mut self, change: impl Fn(&mut Vec<u8>)) {
        let mut bytes = self.bytes();
        change(&mut bytes);
        self.put_bytes(&bytes);
    }

    fn component(&self, name: &str) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        match name {
            "@method" => self.method.clone(),
            "@authority" => self.authority.clone().unwrap(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            _ => self.value(name),
        }
    }

    pub(super) fn target_bytes(&self) -> Vec<u8> {
        bytes(&self.target)
    }

    /// None when it is nothing that HTTP knows.
    pub(super) fn parts(&self) -> Option<Parts> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = self.method.parse().ok()?;
        if let Some(host) = &self.authority {
            let host = HeaderValue::from_bytes(&bytes(host)).ok()?;
            parts.headers.append(HOST, host);
        }
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(&bytes(name)).ok()?;
            let value = HeaderValue::from_bytes(&bytes(value)).ok()?;
            parts.headers.append(name, value);
        }
        Some(parts)
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}
