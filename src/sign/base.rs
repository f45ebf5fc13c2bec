//! The signature base (RFC 9421 section 2.5): what signer and verifier compute alike.

/// A signature base under construction.
#[derive(Debug, Default)]
pub(super) struct Base(String);

impl Base {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// One covered component and its value.
    pub(super) fn line(&mut self, component: &str, value: &str) {
        for part in ["\"", component, "\": ", value, "\n"] {
            self.0.push_str(part);
        }
    }

    /// Ends it with the signature's parameters, as they stand in `Signature-Input`.
    pub(super) fn end(mut self, parameters: &str) -> String {
        self.0.push_str("\"@signature-params\": ");
        self.0.push_str(parameters);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use hmac::Mac;

    /// RFC 9421 appendix B.2.5, "Signing a Request using hmac-sha256".
    #[test]
    fn s1_the_vector_of_the_rfc_comes_out_to_the_bit() {
        let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let mut base = Base::default();
        base.line("date", "Tue, 20 Apr 2021 02:07:55 GMT");
        base.line("@authority", "example.com");
        base.line("content-type", "application/json");
        let base = base.end(
            r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
        );
        let mut mac = crate::key::keyed(&BASE64_STANDARD.decode(secret).unwrap());
        mac.update(base.as_bytes());
        assert_eq!(
            BASE64_STANDARD.encode(mac.finalize().into_bytes()),
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="
        );
    }

    /// RFC 9421 appendix B.2.6, "Signing a Request using ed25519"; the key is that of B.1.4.
    #[test]
    fn s1_the_vector_of_the_rfc_for_ed25519_comes_out_to_the_bit() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";
        let mut base = Base::default();
        base.line("date", "Tue, 20 Apr 2021 02:07:55 GMT");
        base.line("@method", "POST");
        base.line("@path", "/foo");
        base.line("@authority", "example.com");
        base.line("content-type", "application/json");
        base.line("content-length", "18");
        let base = base.end(
            r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        );
        let key = crate::secret::Secret::new(key.as_bytes().to_vec());
        let key = crate::sign::SigningKey::ed25519("test-key-ed25519", &key).unwrap();
        assert_eq!(
            key.sign(&base),
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
        );
    }
}
