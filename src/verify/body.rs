//! A body that must fit its digest (RFC 9530), while it passes: the backend gets the last piece only
//! when the whole is right, so never a whole body that is wrong, however long it is.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

use super::Refusal;
use crate::sign::header::CONTENT_DIGEST;

/// What a body is made of must come out as.
pub(super) struct Body {
    sha256: Option<(Sha256, Vec<u8>)>,
    sha512: Option<(Sha512, Vec<u8>)>,
    held: Bytes,
}

impl Body {
    /// What the headers promise; none when they promise nothing that is known here: SHA-256 and
    /// SHA-512 are, which are the two that RFC 9530 does not advise against.
    ///
    /// # Errors
    ///
    /// [`Refusal::Body`] when the promise cannot be read.
    pub(super) fn promised(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(digest) = headers.get(CONTENT_DIGEST) else {
            return Ok(None);
        };
        let digest: Dictionary = Parser::new(digest.as_bytes())
            .parse()
            .map_err(|_| Refusal::Body)?;
        let expected = |name: &str| match digest.get(name) {
            None => Ok(None),
            Some(ListEntry::Item(Item {
                bare_item: BareItem::ByteSequence(bytes),
                ..
            })) => Ok(Some(bytes.clone())),
            Some(_) => Err(Refusal::Body),
        };
        let sha256 = expected("sha-256")?.map(|bytes| (Sha256::new(), bytes));
        let sha512 = expected("sha-512")?.map(|bytes| (Sha512::new(), bytes));
        let is_known = sha256.is_some() || sha512.is_some();
        Ok(is_known.then(|| Self {
            sha256,
            sha512,
            held: Bytes::new(),
        }))
    }

    /// Takes the next piece, and gives in its place what may go on.
    ///
    /// # Errors
    ///
    /// [`Refusal::Body`] at the end of a body that is another.
    pub(super) fn pass(&mut self, piece: &mut Option<Bytes>, is_all: bool) -> Result<(), Refusal> {
        let new = piece.take().unwrap_or_default();
        if let Some((sha256, _)) = &mut self.sha256 {
            sha256.update(&new);
        }
        if let Some((sha512, _)) = &mut self.sha512 {
            sha512.update(&new);
        }
        *piece = if is_all {
            self.fits()?;
            let whole: BytesMut = [std::mem::take(&mut self.held), new]
                .into_iter()
                .flatten()
                .collect();
            Some(whole.freeze())
        } else if new.is_empty() {
            // Something must be there: nothing at all would mean the end.
            Some(Bytes::new())
        } else {
            Some(std::mem::replace(&mut self.held, new))
        };
        Ok(())
    }

    fn fits(&mut self) -> Result<(), Refusal> {
        let is_as_promised = self
            .sha256
            .take()
            .is_none_or(|(made, promised)| made.finalize()[..] == promised)
            && self
                .sha512
                .take()
                .is_none_or(|(made, promised)| made.finalize()[..] == promised);
        if is_as_promised {
            Ok(())
        } else {
            Err(Refusal::Body)
        }
    }
}

/// Whether a whole body is the one of the `Content-Digest` among `headers`. Without a digest of a kind
/// that is known here, nobody vouches for the body, and any is.
#[must_use]
pub fn body_fits(headers: &HeaderMap, body: Bytes) -> bool {
    match Body::promised(headers) {
        Ok(None) => true,
        Ok(Some(mut promised)) => promised.pass(&mut Some(body), true).is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use super::*;

    fn body(digest: &str) -> Result<Option<Body>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DIGEST, digest.parse().unwrap());
        Body::promised(&headers)
    }

    /// What arrives of the pieces until it ends, and whether it is whole.
    fn arrives(digest: &str, pieces: &[&str]) -> (String, bool) {
        let mut body = body(digest).unwrap().unwrap();
        let mut arrived = Vec::new();
        let mut left = pieces.iter();
        while let Some(piece) = left.next() {
            let mut piece = Some(Bytes::copy_from_slice(piece.as_bytes()));
            if body.pass(&mut piece, left.len() == 0).is_err() {
                return (String::from_utf8(arrived).unwrap(), false);
            }
            arrived.extend(piece.expect("nothing would mean the end"));
        }
        (String::from_utf8(arrived).unwrap(), true)
    }

    #[test]
    fn s10_a_body_that_is_another_never_arrives_whole() {
        let sha256 = BASE64_STANDARD.encode(Sha256::digest("hello"));
        let sha512 = BASE64_STANDARD.encode(Sha512::digest("hello"));
        for digest in [
            format!("sha-256=:{sha256}:"),
            format!("sha-512=:{sha512}:, md5=:AAAA:"),
            format!("sha-256=:{sha256}:, sha-512=:{sha512}:"),
        ] {
            for pieces in [
                &["hello"][..],
                &["he", "llo"],
                &["he", "", "llo", ""],
                &["", "hello"],
            ] {
                assert_eq!(
                    arrives(&digest, pieces),
                    ("hello".into(), true),
                    "{pieces:?}"
                );
            }
            for pieces in [
                &["hallo"][..],
                &["hello", "!"],
                &["hell"],
                &["he", "llo", "", "!"],
            ] {
                let (arrived, is_whole) = arrives(&digest, pieces);
                let sent = pieces.concat();
                assert!(
                    !is_whole && arrived.len() < sent.len(),
                    "{pieces:?}: {arrived}"
                );
            }
        }
        let one_wrong = format!("sha-256=:{sha256}:, sha-512=:{sha256}:");
        assert!(!arrives(&one_wrong, &["hello"]).1);
    }

    #[test]
    fn a_digest_that_cannot_be_read_is_refused_and_an_unknown_one_promises_nothing() {
        assert!(body("md5=:AAAA:").unwrap().is_none());
        for bad in [
            "sha-256",
            "sha-256=hello",
            "sha-256=\"x\"",
            "=",
            "sha-256=:%:",
        ] {
            assert!(matches!(body(bad), Err(Refusal::Body)), "{bad}");
        }
    }
}
