//! The values as operators write them: word for word as in the configuration of the old proxy.

use std::str::FromStr;

use super::Value;
use super::name::{Dialect, Form};
use super::value::{Digits, Edge, What, Whose};
use super::xfcc;

/// What stands for a value, and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAValue {
    /// nginx has it, as a text of many lines.
    #[error(
        "a header has one line; write $ssl_client_escaped_cert, and have the backend decode it"
    )]
    ManyLines,
    /// Envoy tells of it, and the client's own certificate alone is known here.
    #[error(
        "of the other certificates of the chain nothing is kept; write Cert, and do without Chain"
    )]
    Chain,
    /// Envoy has its parts in another order.
    #[error("name each part at most once, in this order: By=…;Hash;Cert;Subject;URI;DNS")]
    Order,
    /// Nothing that is known.
    #[error(
        "write what the old proxy's configuration says, one of: $ssl_client_… (nginx), \
         %[ssl_c_…] (HAProxy), %{{SSL_CLIENT_…}}s (Apache), Hash;Subject;… (Envoy), or rfc9440; \
         docs/MASQUERADE.md lists them all"
    )]
    Unknown,
}

const RFC2253: Form = Form::Rfc2253(Dialect::OpenSsl);
const RFC2253_OF_APACHE: Form = Form::Rfc2253(Dialect::Apache);

/// The variables of nginx, after `$ssl_client_`.
const NGINX: [(&str, What); 11] = [
    ("s_dn", What::Name(Whose::Subject, RFC2253)),
    ("i_dn", What::Name(Whose::Issuer, RFC2253)),
    ("s_dn_legacy", What::Name(Whose::Subject, Form::OneLine)),
    ("i_dn_legacy", What::Name(Whose::Issuer, Form::OneLine)),
    ("verify", What::Text("SUCCESS")),
    ("serial", What::Serial),
    ("fingerprint", What::Sha1(Digits::Lower)),
    ("v_start", What::Printed(Edge::Start)),
    ("v_end", What::Printed(Edge::End)),
    ("v_remain", What::DaysLeft),
    ("escaped_cert", What::EscapedPem),
];

/// The sample expressions of HAProxy, after `ssl_c_`.
const HAPROXY: [(&str, What); 12] = [
    ("s_dn", What::Name(Whose::Subject, Form::Plain)),
    ("i_dn", What::Name(Whose::Issuer, Form::Plain)),
    ("s_dn(,0,rfc2253)", What::Name(Whose::Subject, RFC2253)),
    ("i_dn(,0,rfc2253)", What::Name(Whose::Issuer, RFC2253)),
    ("verify", What::Text("0")),
    ("used", What::Text("1")),
    ("serial,hex", What::SerialBytes),
    ("sha1,hex", What::Sha1(Digits::Upper)),
    ("sha1,hex,lower", What::Sha1(Digits::Lower)),
    ("notbefore", What::Raw(Edge::Start)),
    ("notafter", What::Raw(Edge::End)),
    ("der,base64", What::Base64),
];

/// The variables of Apache's `mod_ssl`, after `SSL_CLIENT_`.
const APACHE: [(&str, What); 7] = [
    ("S_DN", What::Name(Whose::Subject, RFC2253_OF_APACHE)),
    ("I_DN", What::Name(Whose::Issuer, RFC2253_OF_APACHE)),
    ("VERIFY", What::Text("SUCCESS")),
    ("M_SERIAL", What::Serial),
    ("V_START", What::Printed(Edge::Start)),
    ("V_END", What::Printed(Edge::End)),
    ("CERT", What::SpacedPem),
];

impl FromStr for Value {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        what(text).map(Self)
    }
}

fn what(text: &str) -> Result<What, NotAValue> {
    if text == "rfc9440" {
        return Ok(What::Rfc9440);
    }
    if let Some(name) = text.strip_prefix("$ssl_client_") {
        return match name {
            "cert" | "raw_cert" => Err(NotAValue::ManyLines),
            name => find(&NGINX, name),
        };
    }
    let apache = text.strip_prefix("%{SSL_CLIENT_");
    if let Some(name) = apache.and_then(|rest| rest.strip_suffix("}s")) {
        return find(&APACHE, name).map(|what| What::Apache(Box::new(what)));
    }
    // In a header, HAProxy quotes nothing.
    for begin in ["%[ssl_c_", "%{+Q}[ssl_c_"] {
        let inner = text.strip_prefix(begin);
        if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(']')) {
            return Ok(What::HaProxy(Box::new(haproxy(inner)?)));
        }
    }
    xfcc::read(text).map(What::Xfcc)
}

fn find(words: &[(&str, What)], name: &str) -> Result<What, NotAValue> {
    let found = words.iter().find(|(word, _)| *word == name);
    found
        .map(|(_, what)| what.clone())
        .ok_or(NotAValue::Unknown)
}

/// A sample expression; a part of a name has the part's own name in brackets.
fn haproxy(text: &str) -> Result<What, NotAValue> {
    for (begin, whose) in [("s_dn(", Whose::Subject), ("i_dn(", Whose::Issuer)] {
        let part = text.strip_prefix(begin);
        let part = part.and_then(|rest| rest.strip_suffix(')'));
        let is_one = |part: &&str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
            !part.is_empty() && part.bytes().all(plain)
        };
        if let Some(part) = part.filter(is_one) {
            return Ok(What::Part(whose, part.into()));
        }
    }
    find(&HAPROXY, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_the_old_proxys_configuration_says() {
        for (begin, words, end) in [
            ("$ssl_client_", &NGINX[..], ""),
            ("%[ssl_c_", &HAPROXY, "]"),
            ("%{+Q}[ssl_c_", &HAPROXY, "]"),
            ("%{SSL_CLIENT_", &APACHE, "}s"),
        ] {
            for (word, _) in words {
                let text = format!("{begin}{word}{end}");
                assert!(text.parse::<Value>().is_ok(), "{text}");
            }
        }
        for text in [
            "rfc9440",
            "%[ssl_c_s_dn(cn)]",
            "%{+Q}[ssl_c_i_dn(2.5.4.97)]",
            "Hash",
            "By=spiffe://cluster/gateway;Hash;Cert;Subject;URI;DNS",
        ] {
            assert!(text.parse::<Value>().is_ok(), "{text}");
        }
        for text in [
            "",
            "subject",
            "$ssl_client_s_dn ",
            "$ssl_client_S_DN",
            "${ssl_client_s_dn}",
            "%[ssl_c_s_dn",
            "%[ssl_c_s_dn()]",
            "%[ssl_c_s_dn(cn,1)]",
            "%[ssl_f_s_dn]",
            "%{SSL_CLIENT_S_DN}e",
            "Hash;",
            "By=a;b;Hash",
            "By=;Hash",
            "hash",
        ] {
            assert_eq!(text.parse::<Value>(), Err(NotAValue::Unknown), "{text}");
        }
        for text in ["Hash;Hash", "Subject;Hash", "By=a;By=b", "DNS;URI"] {
            assert_eq!(text.parse::<Value>(), Err(NotAValue::Order), "{text}");
        }
        let many = "$ssl_client_cert".parse::<Value>();
        assert_eq!(many, Err(NotAValue::ManyLines));
        assert_eq!("Hash;Chain".parse::<Value>(), Err(NotAValue::Chain));
    }
}
