//! One way to shake hands: with one certificate of ours, under one policy for the client's.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use super::notes;
use super::resumption::Resuming;
use super::settings::{MinimumTls, ServerCertificate, Settings};
use crate::certificate::{Chain, Reason, Rejected, Trust, Verifier};
use crate::clock;
use crate::policy::ClientCertificates;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::ssl::{
    AlpnError, NameType, SniError, SslAcceptor, SslAcceptorBuilder, SslAlert, SslMethod,
    SslOptions, SslRef, SslSessionCacheMode, SslVersion, select_next_proto,
};
use crate::tls::stack::Stack;
use crate::tls::x509::{X509, X509Ref};
use crate::tls::{self, Alert, Sent};

/// Key exchange, best first: post-quantum hybrid, then what everybody has.
const GROUPS: &str = "X25519MLKEM768:X25519:P-256:P-384";
/// For TLS 1.2: Mozilla's intermediate profile without finite-field Diffie-Hellman, which no client
/// of that profile needs, and by which strangers could have a lot computed (CVE-2002-20001).
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
const HTTP1: &[u8] = b"\x08http/1.1";
const HTTP2_AND_HTTP1: &[u8] = b"\x02h2\x08http/1.1";

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// There is no certificate of ours.
    #[error("the listener has no certificate; give one in [[listener.certificate]]")]
    NoCertificate,
    /// One in the chain that OpenSSL fails handshakes for, and BoringSSL would show.
    #[error("the listener's certificate, or one above it, is too weak: its key, or what signed it")]
    Weak,
    /// The library refuses a certificate, a key or a setting.
    #[error("the listener's TLS cannot be set up: {0}")]
    Tls(#[from] ErrorStack),
    /// There can be no key for tickets.
    #[error("the system has no randomness to give: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// What every acceptor is made from.
pub(super) struct Recipe<'a> {
    pub(super) settings: &'a Settings,
    /// Whom to show clients as trusted.
    pub(super) trust: &'a Trust,
    /// What judges what they show.
    pub(super) verifier: &'a Arc<Verifier>,
    pub(super) resuming: &'a Resuming,
}

impl Recipe<'_> {
    /// The acceptor with this certificate under this policy.
    pub(super) fn make(
        &self,
        certificate: &ServerCertificate,
        policy: ClientCertificates,
    ) -> Result<SslAcceptor, AcceptorError> {
        let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        context.set_min_proto_version(Some(match self.settings.minimum_tls {
            MinimumTls::Tls12 => SslVersion::TLS1_2,
            MinimumTls::Tls13 => SslVersion::TLS1_3,
        }))?;
        tls::set_groups(&mut context, GROUPS)?;
        context.set_cipher_list(CIPHERS)?;
        // Once the handshake is done: as much at a time as there is, large records too.
        context.set_read_ahead(true);
        context.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::CIPHER_SERVER_PREFERENCE);
        let protocols = if self.settings.http2 {
            HTTP2_AND_HTTP1
        } else {
            HTTP1
        };
        context.set_alpn_select_callback(move |_, offered| {
            select_next_proto(protocols, offered).ok_or(AlpnError::NOACK)
        });
        own_certificate(&mut context, certificate)?;
        tls::on_hello(&mut context, notes::note_hello);
        context.set_servername_callback(expect_same_name);
        self.resumption(&mut context, policy)?;
        if policy.asks() {
            self.ask(&mut context, policy)?;
        }
        Ok(context.build())
    }

    /// A session is resumed where it began: under the same policy, by whoever trusts the same. And only
    /// for a certificate that is good now; whoever has another one shows it again.
    fn resumption(
        &self,
        context: &mut SslAcceptorBuilder,
        policy: ClientCertificates,
    ) -> Result<(), AcceptorError> {
        let binding = Sha256::new()
            .chain_update(b"keyferry session.v1\0")
            .chain_update(policy.as_str())
            .chain_update([0])
            .chain_update(self.trust.content().as_bytes())
            .finalize();
        context.set_session_id_context(&binding)?;
        let verifier = Arc::clone(self.verifier);
        let is_good = move |chain: &Chain| {
            let now = clock::now();
            verifier.verify(chain, now).at(now).is_ok()
        };
        let is_good_now = is_good.clone();
        let resumes = move |leaf: &X509Ref, sent| is_good_now(&Chain::resumed(leaf, sent));
        // One session is enough: each has the client's certificate, or its chain, which costs. Whoever opens
        // several connections at once begins them anew.
        match self.resuming {
            Resuming::Tickets(key) => {
                // Nothing is kept here, and so nothing is resumed that was not opened.
                context.set_session_cache_mode(SslSessionCacheMode::OFF);
                tls::seal_tickets(context, key.keys(), resumes)?;
            }
            Resuming::Memory(sessions) => {
                let (keeping, finding) = (Arc::clone(sessions), Arc::clone(sessions));
                let keep = move |ssl: &SslRef, id: &[u8], session| {
                    let chain = Chain::from_ssl(ssl);
                    keeping.keep(id, session, chain.map(|chain| is_good(&chain)));
                };
                tls::keep_sessions(context, keep, move |id| finding.find(id), resumes)?;
            }
        }
        Ok(())
    }

    /// Asks for a certificate, which the verifier alone judges.
    fn ask(
        &self,
        context: &mut SslAcceptorBuilder,
        policy: ClientCertificates,
    ) -> Result<(), AcceptorError> {
        let verifier =
            (policy == ClientCertificates::RejectConnection).then(|| Arc::clone(self.verifier));
        tls::judge(context, move |sent| match &verifier {
            Some(verifier) => judge(verifier, sent),
            // Whatever comes is let through, to be explained.
            None => Ok(()),
        })?;
        let mut authorities = Stack::new()?;
        if self.settings.ca_names {
            for trust in self.settings.fronts.authorities() {
                for name in trust.subjects() {
                    authorities.push(name)?;
                }
            }
            for name in self.trust.subjects() {
                authorities.push(name)?;
            }
        }
        context.set_client_ca_list(authorities);
        Ok(())
    }
}

/// Refuses what a client sent unless it is good.
fn judge(verifier: &Verifier, sent: &Sent<'_>) -> Result<(), Alert> {
    let sent = sent.certificates();
    let leaf = sent.first().ok_or(Alert::InternalError)?;
    let now = clock::now();
    let verdict = verifier.verify(&Chain::new(leaf, sent.iter().cloned()), now);
    match verdict.at(now) {
        Ok(_) => Ok(()),
        Err(rejected) => {
            notes::note_refused(Failure::CertificateRejected, || words(&rejected));
            Err(alert(rejected.reason()))
        }
    }
}

fn words(rejected: &Rejected) -> String {
    let codes = rejected
        .problems()
        .iter()
        .map(|problem| problem.reason.code());
    let codes = codes.collect::<Vec<_>>().join(", ");
    format!("{codes} ({})", rejected.fingerprint())
}

const fn alert(reason: Reason) -> Alert {
    match reason {
        Reason::Revoked => Alert::CertificateRevoked,
        Reason::Untrusted | Reason::ChainIncomplete => Alert::UnknownCa,
        Reason::Invalid | Reason::Superseded | Reason::Weak | Reason::NotYetValid => {
            Alert::BadCertificate
        }
        Reason::WrongPurpose => Alert::UnsupportedCertificate,
        Reason::RevocationUnknown => Alert::InternalError,
        Reason::Expired => Alert::CertificateExpired,
    }
}

/// By the name the acceptor was chosen. (Of a session of TLS 1.2 that is resumed, OpenSSL tells the
/// name that it began with; then it is the ticket that holds under one policy only.)
fn expect_same_name(ssl: &mut SslRef, alert: &mut SslAlert) -> Result<(), SniError> {
    if ssl.session_reused() || notes::is_noted(ssl.servername(NameType::HOST_NAME)) {
        return Ok(());
    }
    notes::note_refused(Failure::HelloUnclear, String::new);
    *alert = SslAlert::UNRECOGNIZED_NAME;
    Err(SniError::ALERT_FATAL)
}

fn own_certificate(
    context: &mut SslAcceptorBuilder,
    certificate: &ServerCertificate,
) -> Result<(), AcceptorError> {
    let chain = X509::stack_from_pem(&certificate.chain_pem)?;
    // The configuration refuses it before, with its place in the file. Whatever comes here otherwise is not
    // shown either: BoringSSL would.
    if chain.iter().any(|x509| tls::is_weak(x509)) {
        return Err(AcceptorError::Weak);
    }
    let mut chain = chain.into_iter();
    let leaf = chain.next().ok_or(AcceptorError::NoCertificate)?;
    context.set_certificate(&leaf)?;
    for intermediate in chain {
        context.add_extra_chain_cert(intermediate)?;
    }
    let key = PKey::private_key_from_pem(certificate.key_pem.expose())?;
    context.set_private_key(&key)?;
    Ok(context.check_private_key()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Issued, Kind, Spec, intermediate, root, server};
    use crate::secret::Secret;
    use crate::tls::hash::MessageDigest;

    #[test]
    fn a_certificate_of_ours_that_is_too_weak_is_shown_with_neither_library() {
        let root = root("Servers").self_signed();
        let is_taken_below = |spec: Spec, issuer: &Issued| {
            let own = spec.signed_by(issuer);
            let own = ServerCertificate {
                chain_pem: own.chain_pem(),
                key_pem: Secret::new(own.key_pem()),
            };
            let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
            own_certificate(&mut context, &own).is_ok()
        };
        let is_taken = |spec| is_taken_below(spec, &root);
        let own = || server("localhost");
        assert!(is_taken(own()) && is_taken(own().kind(Kind::Rsa(2048))));
        assert!(!is_taken(own().kind(Kind::Rsa(1024))));
        assert!(!is_taken(own().digest(MessageDigest::sha1())));
        let is_taken = |issuer: Spec| is_taken_below(own(), &issuer.signed_by(&root));
        let issuing = || intermediate("Issuing");
        assert!(is_taken(issuing()));
        assert!(!is_taken(issuing().kind(Kind::Rsa(1024))));
        assert!(!is_taken(issuing().digest(MessageDigest::sha1())));
    }
}
