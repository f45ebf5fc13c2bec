//! Certificates as they are, one client's to a file that is called like the client.

use std::io::{self, BufRead, Read as _};
use std::path::Path;

use super::{Entry, Mark, Sink, Why};
use crate::certificate::{Handed, NotHanded};

/// No certificate, with all of its chain, is larger.
const LARGEST: u64 = 1 << 20;

/// Reads a file of this name.
pub(super) fn read(name: &str, input: &mut dyn BufRead, sink: Sink<'_>) -> io::Result<u32> {
    let mut contents = Vec::new();
    input.take(LARGEST).read_to_end(&mut contents)?;
    let lines = memchr::memchr_iter(b'\n', &contents).count();
    let handed = Handed::read(&contents).map_err(Why::from);
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
    let entry = handed.and_then(|handed| {
        let stem = stem.ok_or(Why::Name)?;
        Ok(Entry::new(Some(stem), Mark::Certificate(Box::new(handed))))
    });
    let is_other = matches!(entry, Err(Why::NotHanded(NotHanded::NoCertificate)));
    // A folder of certificates holds other files, too.
    if !is_other || claims(name, &contents) {
        sink(1, entry.into());
    }
    Ok(u32::try_from(lines).unwrap_or(u32::MAX))
}

/// Whether a file looks as if it should hold a certificate.
fn claims(name: &str, contents: &[u8]) -> bool {
    let extension = Path::new(name).extension().and_then(|end| end.to_str());
    let extension = extension.map(str::to_ascii_lowercase);
    let is_named = matches!(
        extension.as_deref(),
        Some("pem" | "crt" | "cer" | "der" | "cert")
    );
    is_named || contents.windows(10).any(|part| part == b"-----BEGIN")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Found;
    use crate::pki;

    fn read_as(name: &str, contents: &[u8]) -> Vec<Found> {
        let mut all = Vec::new();
        read(name, &mut &contents[..], &mut |_, found| all.push(found)).unwrap();
        all
    }

    #[test]
    fn a_certificate_is_called_by_its_file() {
        let issued = pki::leaf("somebody").self_signed();
        let found = read_as("Acme Corp.pem", &issued.pem());
        let [Found::Entry(entry)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(entry.called.as_deref(), Some("Acme Corp"));
        assert!(matches!(entry.mark, Mark::Certificate(_)));
        let both = [issued.pem(), issued.key_pem()].concat();
        let refused = |why| vec![Found::Refused(Why::NotHanded(why))];
        assert_eq!(read_as("a.pem", &both), refused(NotHanded::PrivateKey));
        assert_eq!(read_as("a.crt", b"x"), refused(NotHanded::NoCertificate));
        assert_eq!(read_as("README", b"x"), []);
    }
}
