//! What identities are signed with, for each backend.

use super::{Builder, Built, Noted, all};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::secret::Secret;
use crate::sign::{self, Algorithm, KeyFault, SigningKey, VerifyingKey};

/// What is signed with, and what is published beside it.
type Signing = (Option<SigningKey>, Vec<VerifyingKey>);

/// The keys of the backends so far. None is another's: what is signed for one backend is worth nothing at
/// another.
#[derive(Default)]
pub(super) struct Known {
    ids: Vec<String>,
    keys: Vec<(KeyPath, VerifyingKey)>,
}

impl Builder<'_> {
    /// The key; `signed` is the route that needs one.
    pub(super) fn signing(
        &mut self,
        at: &KeyPath,
        typed: Option<file::Signing>,
        signed: Option<&str>,
        known: &mut Known,
    ) -> Built<Signing> {
        let Some(typed) = typed else {
            return match signed {
                Some(_) if self.document.is_pruned(at) => Err(Noted(())),
                Some(route) => {
                    let wrong = format!("missing, and route {route:?} leads identities here");
                    let write = r#"write signing = { key_id = "…", secret_file = "…" }"#;
                    Err(self.problem(at, wrong, write))
                }
                None => Ok((None, Vec::new())),
            };
        };
        let key_id = self.key_id(at, typed.key_id.clone(), known);
        let also_published = self.also_published(at, &typed, known);
        let key = match typed.algorithm {
            Algorithm::HmacSha256 => self.shared(at, &typed, key_id, known),
            Algorithm::Ed25519 => self.private_key(at, &typed, key_id, known),
        };
        Ok((Some(key?), also_published?))
    }

    fn key_id(&mut self, at: &KeyPath, typed: Option<String>, known: &mut Known) -> Built<String> {
        let at = at.key("key_id");
        let key_id = self.required(&at, typed, r#"write key_id = "…""#)?;
        if known.ids.contains(&key_id) {
            let wrong = format!("{key_id:?} is taken already");
            self.problem(&at, wrong, "give every key a key id of its own");
        }
        known.ids.push(key_id.clone());
        Ok(key_id)
    }

    fn shared(
        &mut self,
        at: &KeyPath,
        typed: &file::Signing,
        key_id: Built<String>,
        known: &mut Known,
    ) -> Built<SigningKey> {
        if typed.private_key_file.is_some() {
            let wrong = "hmac-sha256 has a secret, and no private key";
            let write = r#"write algorithm = "ed25519", or secret_file = "…" in its place"#;
            self.problem(&at.key("private_key_file"), wrong, write);
        }
        let secret_at = at.key("secret_file");
        let write = "name a file with at least 32 secret bytes";
        let secret = self
            .required(&secret_at, typed.secret_file.as_deref(), write)
            .and_then(|path| self.secret(&secret_at, path));
        let key_id = key_id?;
        let key = SigningKey::new(&key_id, &secret?);
        let key = key.map_err(|fault| self.faulty(at, &key_id, (&secret_at, fault)))?;
        self.is_another(&secret_at, key.verifying(), known);
        Ok(key)
    }

    fn private_key(
        &mut self,
        at: &KeyPath,
        typed: &file::Signing,
        key_id: Built<String>,
        known: &mut Known,
    ) -> Built<SigningKey> {
        if typed.secret_file.is_some() {
            let wrong = "ed25519 has a private key, and no secret";
            let write = r#"write private_key_file = "…" in its place"#;
            self.problem(&at.key("secret_file"), wrong, write);
        }
        let file_at = at.key("private_key_file");
        let write = "name the private key; openssl genpkey -algorithm ed25519 makes one";
        let pem = self
            .required(&file_at, typed.private_key_file.as_deref(), write)
            .and_then(|path| self.private(&file_at, path))
            .map(Secret::new);
        let key_id = key_id?;
        let key = SigningKey::ed25519(&key_id, &pem?);
        let key = key.map_err(|fault| self.faulty(at, &key_id, (&file_at, fault)))?;
        self.is_another(&file_at, key.verifying(), known);
        Ok(key)
    }

    fn also_published(
        &mut self,
        at: &KeyPath,
        typed: &file::Signing,
        known: &mut Known,
    ) -> Built<Vec<VerifyingKey>> {
        let list = at.key("also_published");
        if typed.algorithm != Algorithm::Ed25519 && !typed.also_published.is_empty() {
            let wrong = "a secret is not published";
            return Err(self.problem(
                &list,
                wrong,
                r#"take it away, or write algorithm = "ed25519""#,
            ));
        }
        let keys = typed.also_published.iter().enumerate();
        all(keys.map(|(index, typed)| {
            let at = list.index(index);
            let key_id = self.key_id(&at, typed.key_id.clone(), known);
            let file_at = at.key("public_key_file");
            let write = "name the public key; openssl pkey -pubout makes it of the private one";
            let pem = self
                .required(&file_at, typed.public_key_file.as_deref(), write)
                .and_then(|path| self.vouched_for(&file_at, path));
            let key_id = key_id?;
            let key = VerifyingKey::ed25519(&key_id, &pem?);
            let key = key.map_err(|fault| self.faulty(&at, &key_id, (&file_at, fault)))?;
            self.is_another(&file_at, key.clone(), known);
            Ok(key)
        }))
    }

    /// With one key for two backends, each could send what it got on to the other; with a public key as a
    /// secret, everybody could. That two secrets differ is seen to with all others.
    fn is_another(&mut self, at: &KeyPath, key: VerifyingKey, known: &mut Known) {
        let (mut same, mut confused) = (None, None);
        for (earlier, other) in &known.keys {
            if key.public().is_some() && other.is_same(&key) {
                same.get_or_insert(earlier);
            }
            if sign::are_confused(other, &key) {
                confused.get_or_insert(earlier);
            }
        }
        if let Some(earlier) = same {
            let wrong = format!("holds the same key as {earlier}");
            let write = "make another with: openssl genpkey -algorithm ed25519";
            self.problem(at, wrong, write);
        }
        if let Some(earlier) = confused {
            let wrong = format!("with {earlier}, a public key is a secret, too");
            self.problem(at, wrong, "make a secret with: openssl rand -hex 32");
        }
        known.keys.push((at.clone(), key));
    }

    /// Notes where the fault is: in the name, or in the file at the place beside it.
    fn faulty(&mut self, at: &KeyPath, key_id: &str, (file, fault): (&KeyPath, KeyFault)) -> Noted {
        match fault {
            KeyFault::Id => {
                let wrong = format!("{key_id:?} is not a key id");
                self.problem(&at.key("key_id"), wrong, fault.to_string())
            }
            KeyFault::NoSecret => {
                let write = "make a secret with: openssl rand -hex 32";
                self.problem(file, fault.to_string(), write)
            }
            KeyFault::Private | KeyFault::Public | KeyFault::Weak => {
                let write = "openssl genpkey -algorithm ed25519 makes a private key, and openssl pkey -pubout the public one of it";
                self.problem(file, fault.to_string(), write)
            }
        }
    }
}
