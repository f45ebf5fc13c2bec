//! What the gateway sends, in every form that it has.

use super::case::{Asked, Case, NEXT, ORDERS};

const HELLO: (&str, &str) = (
    "hello",
    "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:",
);
const HELLO_TWICE: (&str, &str) = (
    "hello",
    "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:, sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:",
);

/// What is asked, by the name of its case.
#[rustfmt::skip]
pub(super) const GOOD: &[(&str, Asked)] = &[
    ("as in docs/SIGNATURE.md", ORDERS),
    ("with a scope", Asked { scopes: &["orders:read"], ..ORDERS }),
    ("with scopes of every character", Asked { scopes: &["orders:read", "a/b_c.d-E9"], ..ORDERS }),
    ("with a body and its digest", Asked { method: "POST", body: Some(HELLO), ..ORDERS }),
    ("with two digests", Asked { method: "POST", body: Some(HELLO_TWICE), ..ORDERS }),
    ("with scopes and a digest", Asked { method: "PUT", scopes: &["orders:write"], body: Some(HELLO), ..ORDERS }),
    ("without a query", Asked { target: "/v1/orders", ..ORDERS }),
    ("with an empty query", Asked { target: "/v1/orders?", ..ORDERS }),
    ("with the root as path", Asked { target: "/", ..ORDERS }),
    ("with a path that is percent-encoded", Asked { target: "/v1/caf%C3%A9/a%20b%2ac", ..ORDERS }),
    ("with percent-encoding in lower case", Asked { target: "/v1/caf%c3%a9", ..ORDERS }),
    ("with an encoded slash in the path", Asked { target: "/v1/a%2Fb", ..ORDERS }),
    ("with empty segments in the path", Asked { target: "/v1//orders//", ..ORDERS }),
    ("with parameters in the path", Asked { target: "/v1/orders;v=2/a:b@c!$&'()*+,=~", ..ORDERS }),
    ("with a query that is percent-encoded", Asked { target: "/v1/orders?q=%3F%26%20+x&q=%c3%a9", ..ORDERS }),
    ("with names twice and empty in the query", Asked { target: "/v1/orders?b=2&a=1&a=2&empty=&=v&&", ..ORDERS }),
    ("with marks of its own in the query", Asked { target: "/v1/orders?a?b/../c;d=:@!$'()*,", ..ORDERS }),
    ("with the method DELETE", Asked { method: "DELETE", ..ORDERS }),
    ("with the method HEAD", Asked { method: "HEAD", ..ORDERS }),
    ("with the method OPTIONS", Asked { method: "OPTIONS", ..ORDERS }),
    ("with the method PATCH", Asked { method: "PATCH", ..ORDERS }),
    ("with a port", Asked { authority: "api.example.com:8443", ..ORDERS }),
    ("with an IPv6 address as host", Asked { authority: "[2001:db8::1]:8443", ..ORDERS }),
    ("by the other of two live secrets", Asked { key: NEXT, ..ORDERS }),
    ("at the latest time", Asked { signed_at: -65, ..ORDERS }),
    ("at the earliest time", Asked { signed_at: 5, ..ORDERS }),
];

/// What differs from how the gateway sends it and means the same.
type Change = (&'static str, fn(&mut Case));
const SAME: &[Change] = &[
    ("with the host in upper case", |it| {
        it.authority = Some("API.Example.COM".to_owned());
    }),
    ("with the port of https", |it| {
        it.authority = Some("api.example.com:443".to_owned());
    }),
    ("with the port of http", |it| {
        it.authority = Some("api.example.com:80".to_owned());
    }),
    ("with names in lower case", |it| {
        it.headers
            .iter_mut()
            .for_each(|(name, _)| name.make_ascii_lowercase());
    }),
    ("with names in upper case", |it| {
        it.headers
            .iter_mut()
            .for_each(|(name, _)| name.make_ascii_uppercase());
    }),
    ("with the headers the other way round", |it| {
        it.headers.reverse();
    }),
    ("over HTTP/1.0", |it| it.version = Some("HTTP/1.0")),
    ("with another client in a trailer", |it| {
        it.add("Transfer-Encoding", "chunked");
        it.body =
            Some("2\r\nok\r\n0\r\nX-Client-Id: admin\r\nX_Client_Id: admin\r\n\r\n".to_owned());
    }),
    ("with headers that are nobody's identity", |it| {
        it.add("X-Client-Identity", "somebody");
        it.add("X-Request-Id", "0197f3c2-a1b2-7c3d-8e4f-5a6b7c8d9e11");
        it.add("Accept", "text/plain");
    }),
];

pub(super) fn all() -> Vec<Case> {
    let asked = GOOD.iter().enumerate();
    let mut all: Vec<_> = asked
        .map(|(number, (name, asked))| asked.signed(name, number))
        .collect();
    for (name, change) in SAME {
        let mut case = ORDERS.signed(name, all.len());
        change(&mut case);
        all.push(case);
    }
    all
}
