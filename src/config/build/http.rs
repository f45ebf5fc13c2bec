//! What clients may ask of the gateway over HTTP.

use std::ops::RangeInclusive;

use http::HeaderValue;

use super::{Builder, Built};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::config::settings::Http;
use crate::door::HttpLimits;
use crate::framing::Limits;

/// Four times the largest usual cookie, and what Pingora's own buffer takes.
const HEAD_BYTES: RangeInclusive<u32> = 4096..=262_144;
/// Pingora reads no more than 256 lines, and ours are to be added at the next hop.
const HEAD_LINES: RangeInclusive<u32> = 16..=200;
const STREAMS: RangeInclusive<u32> = 1..=10_000;
const REQUESTS: RangeInclusive<u32> = 1..=u32::MAX;
/// What one request over HTTP/2 may send before it is read, and all of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

impl Builder<'_> {
    pub(super) fn http(&mut self, typed: &file::Http) -> Built<Http> {
        let bytes = self.within("head_bytes", typed.head_bytes, &HEAD_BYTES);
        let fields = self.within("head_lines", typed.head_lines, &HEAD_LINES);
        let streams = self.within("http2_streams", typed.http2_streams, &STREAMS);
        let requests = typed.requests_per_connection;
        let requests = self.within("requests_per_connection", requests, &REQUESTS);
        let transport_security = typed.strict_transport_security.as_ref().and_then(|hsts| {
            let subdomains = if hsts.include_subdomains {
                "; includeSubDomains"
            } else {
                ""
            };
            let seconds = hsts.max_age.as_duration().as_secs();
            HeaderValue::try_from(format!("max-age={seconds}{subdomains}")).ok()
        });
        Ok(Http {
            limits: HttpLimits {
                head: Limits {
                    bytes: usize::try_from(bytes?).unwrap_or(usize::MAX),
                    fields: usize::try_from(fields?).unwrap_or(usize::MAX),
                },
                requests: requests?,
                streams: streams?,
                stream_window: STREAM_WINDOW,
                connection_window: CONNECTION_WINDOW,
            },
            transport_security,
        })
    }

    fn within(&mut self, key: &str, typed: u32, range: &RangeInclusive<u32>) -> Built<u32> {
        if range.contains(&typed) {
            return Ok(typed);
        }
        let at = KeyPath::top("http").key(key);
        let write = format!("use {} to {}", range.start(), range.end());
        Err(self.problem(&at, format!("{typed} cannot be used"), write))
    }
}
