//! How TLS is spoken: versions, certificates by server name, and the request for the client's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetimes, notes};
use crate::certificate::Verifier;
use crate::front::Fronts;
use crate::policy::Network;
use crate::secret::SecretBytes;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::ssl::{
    AlpnError, ClientHelloResponse, NameType, SniError, SslAcceptor, SslAcceptorBuilder,
    SslContext, SslMethod, SslOptions, SslRef, SslVerifyMode, SslVersion, select_next_proto,
};
use crate::tls::stack::Stack;
use crate::tls::x509::{X509, X509Ref};

/// Key exchange, best first: post-quantum hybrid, then what everybody has.
const GROUPS: &str = "X25519MLKEM768:X25519:P-256:P-384";
const HTTP1: &[u8] = b"\x08http/1.1";
const HTTP2_AND_HTTP1: &[u8] = b"\x02h2\x08http/1.1";

/// How the public listener speaks TLS.
#[derive(Debug)]
pub struct Settings {
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// How long a handshake may take, from the connection on.
    pub handshake_timeout: Duration,
    /// How long a client may take once the handshake is done.
    pub lifetimes: Lifetimes,
    /// The balancers in front. With them, only they may connect, and each connection begins with a
    /// header of the PROXY protocol.
    pub balancers: Option<Vec<Network>>,
    /// How many connections there may be.
    pub bounds: super::Bounds,
    /// Who forwards the certificates of clients, and is asked for its own.
    pub fronts: Arc<Fronts>,
    /// The oldest version that is spoken.
    pub minimum_tls: MinimumTls,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Our own certificates; the first is for clients that ask for no name, or for an unknown one.
    pub certificates: Vec<ServerCertificate>,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They are, and may come without one.
    Optional,
    /// They are not.
    Off,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinimumTls {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// A certificate of ours.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The chain in PEM, leaf first.
    pub chain_pem: Vec<u8>,
    /// The key in PEM.
    pub key_pem: SecretBytes,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// There is no certificate of ours.
    #[error("the listener has no certificate; give one in [[listener.certificate]]")]
    NoCertificate,
    /// OpenSSL refuses a certificate, a key or a setting.
    #[error("the listener's TLS cannot be set up: {0}")]
    Tls(#[from] ErrorStack),
}

/// The acceptor with `settings`, which `asks` clients for their certificates or does not. All that
/// differs otherwise is that the sessions of the one are not resumed by the other.
pub(super) fn build(
    settings: &Settings,
    asks: ClientCertificates,
    verifier: &Verifier,
) -> Result<SslAcceptor, AcceptorError> {
    let Some(default) = settings.certificates.first() else {
        return Err(AcceptorError::NoCertificate);
    };
    let names = by_name(settings, asks, verifier)?;
    let mut acceptor = context(settings, default, asks, verifier)?;
    acceptor.set_client_hello_callback(|ssl, _| {
        notes::note_hello(ssl);
        Ok(ClientHelloResponse::SUCCESS)
    });
    acceptor.set_servername_callback(move |ssl, _| choose(ssl, &names));
    Ok(acceptor.build())
}

/// The contexts of the certificates after the first, by the names that they are for.
fn by_name(
    settings: &Settings,
    asks: ClientCertificates,
    verifier: &Verifier,
) -> Result<HashMap<String, SslContext>, AcceptorError> {
    let [default, others @ ..] = settings.certificates.as_slice() else {
        return Err(AcceptorError::NoCertificate);
    };
    let mut names: HashMap<String, SslContext> = HashMap::new();
    for certificate in others {
        let context = context(settings, certificate, asks, verifier)?;
        let context = context.build().into_context();
        for name in names_of(certificate)? {
            names.entry(name).or_insert_with(|| context.clone());
        }
    }
    let own: Vec<String> = names_of(default)?;
    names.retain(|name, _| !own.contains(name));
    Ok(names)
}

/// Puts the context for the name that the client asks for in place; the default stays otherwise.
fn choose(ssl: &mut SslRef, names: &HashMap<String, SslContext>) -> Result<(), SniError> {
    let Some(name) = ssl.servername(NameType::HOST_NAME) else {
        return Ok(());
    };
    notes::note_server_name(name);
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let wildcard = name
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    let context = names.get(&name).or_else(|| names.get(&wildcard?));
    match context {
        Some(context) => ssl
            .set_ssl_context(context)
            .map_err(|_| SniError::ALERT_FATAL),
        None => Ok(()),
    }
}

fn context(
    settings: &Settings,
    certificate: &ServerCertificate,
    asks: ClientCertificates,
    verifier: &Verifier,
) -> Result<SslAcceptorBuilder, AcceptorError> {
    let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(match settings.minimum_tls {
        MinimumTls::Tls12 => SslVersion::TLS1_2,
        MinimumTls::Tls13 => SslVersion::TLS1_3,
    }))?;
    context.set_groups_list(GROUPS)?;
    context.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::CIPHER_SERVER_PREFERENCE);
    let protocols = if settings.http2 {
        HTTP2_AND_HTTP1
    } else {
        HTTP1
    };
    context.set_alpn_select_callback(move |_, offered| {
        select_next_proto(protocols, offered).ok_or(AlpnError::NOACK)
    });
    own_certificate(&mut context, certificate)?;
    // Without it, the second connection of a client with a certificate fails. A session in which no
    // certificate was asked for is not resumed where one is: its client could not show its own.
    context.set_session_id_context(match asks {
        ClientCertificates::Optional => b"keyferry",
        ClientCertificates::Off => b"keyferry without certificates",
    })?;
    if asks == ClientCertificates::Optional {
        // The chain is judged by the verifier, once the peer has proven to hold the key; here
        // whatever comes is let through, to be explained. OpenSSL checks signatures of its own
        // before: a depth of 0 keeps that to one, however long the chain is that a stranger sends.
        // What fails there must not stay in the thread's queue, or the next incomplete read would
        // pass for an error of the connection.
        context.set_verify_depth(0);
        context.set_verify_callback(SslVerifyMode::PEER, |_, _| {
            let _ = ErrorStack::get();
            true
        });
        let mut authorities = Stack::new()?;
        for trust in settings.fronts.authorities().chain([verifier.trust()]) {
            for name in trust.subjects() {
                authorities.push(name)?;
            }
        }
        context.set_client_ca_list(authorities);
    }
    Ok(context)
}

fn own_certificate(
    context: &mut SslAcceptorBuilder,
    certificate: &ServerCertificate,
) -> Result<(), AcceptorError> {
    let mut chain = X509::stack_from_pem(&certificate.chain_pem)?.into_iter();
    let leaf = chain.next().ok_or(AcceptorError::NoCertificate)?;
    context.set_certificate(&leaf)?;
    for intermediate in chain {
        context.add_extra_chain_cert(intermediate)?;
    }
    let key = PKey::private_key_from_pem(certificate.key_pem.expose())?;
    context.set_private_key(&key)?;
    Ok(context.check_private_key()?)
}

/// The names that a certificate is for, in lower case: those of its subject alternative name
/// (RFC 6125 section 6.4.4: never the common name beside it).
fn names_of(certificate: &ServerCertificate) -> Result<Vec<String>, AcceptorError> {
    let leaf = X509::from_pem(&certificate.chain_pem)?;
    Ok(dns_names(&leaf))
}

fn dns_names(leaf: &X509Ref) -> Vec<String> {
    let names = leaf.subject_alt_names().into_iter().flatten();
    names
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase))
        .collect()
}
