//! Names, hosts, addresses and paths as text.

use std::net::Ipv6Addr;

use crate::config::settings::Address;

/// 1 to 64 characters of `a-z0-9._-`.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// A name of the DNS or an IPv4 address, in whatever case, without a final dot.
pub(super) fn is_host(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// `host:port` or `[IPv6]:port`.
pub(super) fn address(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let fits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    let port = fits.then(|| port.parse().ok()).flatten()?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok()?.to_string(),
        None => is_host(host).then(|| host.to_ascii_lowercase())?,
    };
    Some(Address { host, port })
}

/// What somebody who typed `text` probably means as an address: without scheme and path.
pub(super) fn likely_address(text: &str) -> Option<Address> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return address(authority).filter(|_| authority != text),
    };
    address_or(authority, port)
}

/// The address `authority`, or the host of that name at `port`.
pub(super) fn address_or(authority: &str, port: u16) -> Option<Address> {
    address(authority).or_else(|| address(&format!("{authority}:{port}")))
}

/// The beginning of a path in the one form in which paths are compared: begins with `/`, nothing
/// escaped, no empty and no dot segments, no parameters.
pub(super) fn is_path(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&b);
    let Some(rest) = text.strip_prefix('/') else {
        return false;
    };
    let inner = rest.strip_suffix('/').unwrap_or(rest);
    text.bytes().all(fits)
        && !text.contains("//")
        && !inner
            .split('/')
            .any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let shown = |text| address(text).map(|a| a.to_string());
        assert_eq!(shown("127.0.0.1:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(shown("Orders.svc:80").as_deref(), Some("orders.svc:80"));
        assert_eq!(shown("[::1]:443").as_deref(), Some("[::1]:443"));
        for wrong in [
            "",
            "orders",
            "orders:",
            ":80",
            "orders:0",
            "orders:080",
            "orders:65536",
            "::1:80",
            "http://orders:80",
            "a b:80",
            "orders.:80",
            "-a:80",
            "orders:+80",
            "[::1]",
            "[x]:1",
        ] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_address_is_found_in_a_url() {
        let shown = |text| likely_address(text).map(|a| a.to_string());
        assert_eq!(shown("http://a:8080/x").as_deref(), Some("a:8080"));
        assert_eq!(shown("https://a").as_deref(), Some("a:443"));
        assert_eq!(shown("a:80/x").as_deref(), Some("a:80"));
        assert_eq!(shown("a"), None);
    }

    #[test]
    fn a_path_has_one_form() {
        for right in ["/", "/a", "/a/", "/a/b.c", "/v1/~x/:y"] {
            assert!(is_path(right), "{right:?}");
        }
        for wrong in [
            "", "a", "//", "/a//b", "/./a", "/a/..", "/../", "/a?b", "/a#b", "/a%2f", "/a;b", "/ä",
            "/a b", "/a\\b",
        ] {
            assert!(!is_path(wrong), "{wrong:?}");
        }
    }
}
