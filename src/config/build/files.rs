//! The files that a configuration names.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroize;

use super::{Builder, Built};
use crate::config::problem::KeyPath;
use crate::config::settings::{NamedFile, Pem, ServerCertificate};
use crate::config::source::{self, Read};
use crate::secret::{self, CHANGEABLE, Secret, SecretBytes, TOO_OPEN};
use crate::tls;
use crate::tls::pkey::{PKey, Private};
use crate::tls::x509::X509;

const RELATIVE: &str = "relative paths begin at the folder of the configuration file";

impl Builder<'_> {
    /// Where the file is that `path` names.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A secret of at least 32 bytes, which must differ from all others.
    pub(super) fn secret(&mut self, at: &KeyPath, path: &Path) -> Built<SecretBytes> {
        let contents = self.private(at, path)?;
        match secret::from_file_contents(contents) {
            Ok(secret) => {
                self.secrets.push((at.clone(), secret.clone()));
                Ok(secret)
            }
            Err(too_short) => {
                let path = self.resolve(path);
                let wrong = format!(
                    "{} holds {} bytes, too few for a secret",
                    path.display(),
                    too_short.found
                );
                let write = format!("make it with: openssl rand -hex 32 > {}", path.display());
                Err(self.problem(at, wrong, write))
            }
        }
    }

    /// A password: text, less one line end.
    pub(super) fn password(&mut self, at: &KeyPath, path: &Path) -> Built<Secret<String>> {
        let contents = self.private(at, path)?;
        let mut text = match String::from_utf8(contents) {
            Ok(text) => text,
            Err(error) => {
                error.into_bytes().zeroize();
                let wrong = format!("{} is not text", self.resolve(path).display());
                return Err(self.problem(at, wrong, "write the password into it as UTF-8"));
            }
        };
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.is_empty() {
            let wrong = format!("{} is empty", self.resolve(path).display());
            return Err(self.problem(at, wrong, "write the password into it"));
        }
        Ok(Secret::new(text))
    }

    /// A bundle of certificates, all of which can be read.
    pub(super) fn certificates(&mut self, at: &KeyPath, path: &Path) -> Built<(Pem, Vec<X509>)> {
        let bytes = self.contents(at, path)?;
        let text = String::from_utf8_lossy(&bytes);
        let path = self.resolve(path);
        let path = path.display();
        if text.contains("PRIVATE KEY-----") {
            let wrong = format!("{path} holds a private key");
            let write = "keep keys out of certificate files, and replace that one if others saw it";
            return Err(self.problem(at, wrong, write));
        }
        let begun = text
            .lines()
            .filter(|line| line.starts_with("-----BEGIN") && line.contains("CERTIFICATE-----"))
            .count();
        match X509::stack_from_pem(&bytes) {
            // A damaged block must not shrink a bundle silently.
            Ok(read) if !read.is_empty() && read.len() == begun => {
                let certificates = read.len();
                Ok((
                    Pem {
                        bytes,
                        certificates,
                    },
                    read,
                ))
            }
            _ if begun == 0 => {
                let wrong = format!("{path} holds no certificate");
                let write = "write certificates as PEM (-----BEGIN CERTIFICATE-----)";
                Err(self.problem(at, wrong, write))
            }
            _ => {
                let wrong = format!("one of the {begun} certificates in {path} cannot be read");
                let write = "write it again; the file may be cut off";
                Err(self.problem(at, wrong, write))
            }
        }
    }

    /// A certificate and its key.
    pub(super) fn pair(
        &mut self,
        certificate: (&KeyPath, Option<&Path>),
        key: (&KeyPath, Option<&Path>),
    ) -> Built<ServerCertificate> {
        let write = "name the PEM file with the certificate and its intermediates";
        let chain = self
            .required(certificate.0, certificate.1, write)
            .and_then(|path| self.certificates(certificate.0, path));
        let write = "name the PEM file with the certificate's private key";
        let private = self
            .required(key.0, key.1, write)
            .and_then(|path| self.key(key.0, path));
        let ((chain, read), (bytes, private)) = (chain?, private?);
        let fits = |x: &X509| {
            x.public_key()
                .is_ok_and(|public| public.public_eq(&private))
        };
        match read.iter().position(fits) {
            Some(0) => {
                self.strong(certificate.0, &read)?;
                Ok(ServerCertificate { chain, key: bytes })
            }
            Some(_) => {
                let wrong = "the certificate that the key belongs to is not the first of the file";
                Err(self.problem(certificate.0, wrong, "put it first, then its intermediates"))
            }
            None => {
                let wrong = "the key does not belong to the certificate";
                Err(self.problem(
                    key.0,
                    wrong,
                    "name the key that the certificate was made with",
                ))
            }
        }
    }

    /// OpenSSL would fail each handshake for a certificate of ours that is too weak, and BoringSSL would
    /// show it.
    fn strong(&mut self, at: &KeyPath, chain: &[X509]) -> Built<()> {
        let weak = chain.iter().position(|x509| tls::is_weak(x509));
        weak.map_or(Ok(()), |before| {
            let count = before.saturating_add(1);
            let wrong = format!(
                "certificate {count} of the file is too weak: its key, or what it is signed over"
            );
            let write = "have it issued with SHA-256, and a key on P-256 or of RSA with 2048 bits";
            Err(self.problem(at, wrong, write))
        })
    }

    fn key(&mut self, at: &KeyPath, path: &Path) -> Built<(SecretBytes, PKey<Private>)> {
        let bytes = Secret::new(self.private(at, path)?);
        // Without a callback OpenSSL asks for the passphrase on the terminal.
        let key = PKey::private_key_from_pem_callback(bytes.expose(), |_| Ok(0));
        let key = key.map_err(|_| {
            let shown = self.resolve(path);
            let shown = shown.display();
            let encrypted = String::from_utf8_lossy(bytes.expose()).contains("ENCRYPTED");
            let (wrong, write) = if encrypted {
                let write = "take the passphrase away with: openssl pkey -in FILE -out FILE";
                (format!("the key in {shown} has a passphrase"), write)
            } else {
                let write = "write it as PEM (-----BEGIN PRIVATE KEY-----)";
                (
                    format!("{shown} holds no private key that can be read"),
                    write,
                )
            };
            self.problem(at, wrong, write)
        })?;
        Ok((bytes, key))
    }

    /// The contents of a file that only its owner, and its group for reading, may touch.
    pub(super) fn private(&mut self, at: &KeyPath, path: &Path) -> Built<Vec<u8>> {
        let Read {
            contents, metadata, ..
        } = self.read(at, path, true)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & TOO_OPEN != 0 {
            let path = self.resolve(path);
            let wrong = format!("{} is open to others (mode {mode:04o})", path.display());
            self.problem(at, wrong, format!("chmod 600 {}", path.display()));
        }
        Ok(contents)
    }

    /// The contents of a file that anybody may read.
    pub(super) fn contents(&mut self, at: &KeyPath, path: &Path) -> Built<Vec<u8>> {
        Ok(self.read(at, path, false)?.contents)
    }

    /// The same of a file that only its owner may change, since it decides who is believed.
    pub(super) fn vouched_for(&mut self, at: &KeyPath, path: &Path) -> Built<Vec<u8>> {
        let read = self.read(at, path, false)?;
        let mode = read.metadata.permissions().mode() & 0o777;
        if mode & CHANGEABLE != 0 {
            let path = self.resolve(path);
            let path = path.display();
            let wrong = format!("{path} can be changed by others (mode {mode:04o})");
            self.problem(at, wrong, format!("chmod 644 {path}"));
        }
        Ok(read.contents)
    }

    fn read(&mut self, at: &KeyPath, path: &Path, is_secret: bool) -> Built<Read> {
        let path = self.resolve(path);
        let shown = if is_secret {
            secret::shown(&path)
        } else {
            path.display().to_string()
        };
        let read = source::read(&path);
        self.seen.file(at, &path, &read);
        let (wrong, write) = match read {
            Ok(read) => {
                self.files.push(NamedFile {
                    key: at.clone(),
                    mode: read.metadata.permissions().mode() & 0o7777,
                    path,
                    is_secret,
                });
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (
                format!("{shown} does not exist"),
                format!("create it or name another; {RELATIVE}"),
            ),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (
                format!("{shown} may not be read by this user"),
                "give it to the user that the gateway runs as".to_owned(),
            ),
            Err(error) => (
                format!("{shown} cannot be read: {error}"),
                format!("name a file; {RELATIVE}"),
            ),
        };
        Err(self.problem(at, wrong, write))
    }
}
