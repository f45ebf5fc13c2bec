//! Certificates for trying things out: short-lived, never for production.

use anyhow::Context;

use crate::clock;
use crate::tls;
use crate::tls::asn1::{Asn1Integer, Asn1Time};
use crate::tls::bn::{BigNum, MsbOption};
use crate::tls::ec::{EcGroup, EcKey};
use crate::tls::error::ErrorStack;
use crate::tls::hash::MessageDigest;
use crate::tls::nid::Nid;
use crate::tls::pkey::{PKey, Private};
use crate::tls::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use crate::tls::x509::{X509, X509Builder, X509Name, X509NameBuilder};

const DAY: i64 = 86_400;

/// A certificate and its key.
#[derive(Clone)]
pub struct Made {
    x509: X509,
    key: PKey<Private>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To issue others.
    Authority,
    /// To be presented by clients.
    Client,
    /// To be presented by a server on this machine: `localhost`, 127.0.0.1 and `::1`.
    Localhost,
}

/// How a certificate shall be.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The common name.
    pub name: &'a str,
    /// What it is for.
    pub purpose: Purpose,
    /// The day on which its validity begins, counted from today; yesterday is -1.
    pub from_day: i64,
    /// The day on which it ends.
    pub until_day: i64,
}

impl<'a> Wish<'a> {
    /// Valid from an hour ago, for clocks that are behind, and for 90 days.
    #[must_use]
    pub const fn new(name: &'a str, purpose: Purpose) -> Self {
        Self {
            name,
            purpose,
            from_day: 0,
            until_day: 90,
        }
    }

    /// Makes the certificate, signed by `issuer`, or by itself when there is none.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses, or has no randomness.
    pub fn make(self, issuer: Option<&Made>) -> anyhow::Result<Made> {
        self.build(issuer)
            .with_context(|| format!("the certificate of {:?} cannot be made", self.name))
    }

    fn build(self, issuer: Option<&Made>) -> Result<Made, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let name = common_name(self.name)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let mut serial = BigNum::new()?;
        // RFC 5280 section 4.1.2.2: positive, at most 20 octets.
        serial.rand(159, MsbOption::MAYBE_ZERO, false)?;
        let serial = Asn1Integer::from_bn(&serial)?;
        builder.set_serial_number(&serial)?;
        let now = clock::now().as_unix();
        let at = |day: i64| now.saturating_add(day.saturating_mul(DAY));
        let from = Asn1Time::from_unix(at(self.from_day).saturating_sub(3600))?;
        let until = Asn1Time::from_unix(at(self.until_day))?;
        builder.set_not_before(&from)?;
        builder.set_not_after(&until)?;
        builder.set_subject_name(&name)?;
        let issuer_name = issuer.map_or(&*name, |issuer| issuer.x509.subject_name());
        builder.set_issuer_name(issuer_name)?;
        builder.set_pubkey(&key)?;
        self.extend(&mut builder, issuer)?;
        let signer = issuer.map_or(&key, |issuer| &issuer.key);
        builder.sign(signer, MessageDigest::sha256())?;
        let x509 = builder.build();
        Ok(Made { x509, key })
    }

    fn extend(self, builder: &mut X509Builder, issuer: Option<&Made>) -> Result<(), ErrorStack> {
        let mut constraints = BasicConstraints::new();
        let mut usage = KeyUsage::new();
        match self.purpose {
            Purpose::Authority => {
                constraints.ca();
                usage.key_cert_sign().crl_sign();
            }
            Purpose::Client | Purpose::Localhost => {
                usage.digital_signature();
            }
        }
        tls::append(builder, &constraints.critical().build()?)?;
        tls::append(builder, &usage.critical().build()?)?;
        let own = SubjectKeyIdentifier::new();
        let own = own.build(&builder.x509v3_context(None, None))?;
        tls::append(builder, &own)?;
        if let Some(issuer) = issuer {
            let mut theirs = AuthorityKeyIdentifier::new();
            let context = builder.x509v3_context(Some(&issuer.x509), None);
            let theirs = theirs.keyid(true).build(&context)?;
            tls::append(builder, &theirs)?;
        }
        let mut purpose = ExtendedKeyUsage::new();
        match self.purpose {
            Purpose::Authority => return Ok(()),
            Purpose::Client => purpose.client_auth(),
            Purpose::Localhost => {
                let mut names = SubjectAlternativeName::new();
                names.dns("localhost").ip("127.0.0.1").ip("::1");
                let names = names.build(&builder.x509v3_context(None, None))?;
                tls::append(builder, &names)?;
                purpose.server_auth()
            }
        };
        tls::append(builder, &purpose.build()?)
    }
}

impl Made {
    /// The certificate in PEM.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses.
    pub fn certificate_pem(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.x509.to_pem()?)
    }

    /// The key in PEM.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses.
    pub fn key_pem(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.key.private_key_to_pem_pkcs8()?)
    }
}

fn common_name(name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_text("CN", name)?;
    Ok(builder.build())
}
