//! Files of tests/data/import, filled in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use keyferry::certificate::{Fingerprint, Handed};

use crate::support::world::{Identity, World};

/// What can be filled in of a certificate.
const FORMS: [&str; 6] = ["sha1", "SHA1", "sha256", "colons", "base64", "serial"];

/// The files of a test, with certificates that were made for it.
pub(super) struct Files<'a> {
    world: &'a World,
    identities: BTreeMap<String, Identity>,
}

impl<'a> Files<'a> {
    pub(super) const fn new(world: &'a World) -> Self {
        Self {
            world,
            identities: BTreeMap::new(),
        }
    }

    /// Fills a file of tests/data/import in; gives its path.
    pub(super) fn fill(&mut self, name: &str) -> String {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/import")
            .join(name);
        let text = fs::read_to_string(from).expect(name);
        let (mut filled, mut rest) = (String::new(), text.as_str());
        while let Some((before, after)) = rest.split_once('@') {
            filled.push_str(before);
            let named = after.split_once('@').and_then(|(inside, after)| {
                let (who, form) = inside.split_once('.')?;
                FORMS.contains(&form).then_some((who, form, after))
            });
            if let Some((who, form, after)) = named {
                filled.push_str(&self.form_of(who, form));
                rest = after;
            } else {
                filled.push('@');
                rest = after;
            }
        }
        let text = filled + rest;
        self.write(name, &text)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.world.path(&name.replace('/', "-"));
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(super) fn identity(&mut self, name: &str) -> &Identity {
        let world = self.world;
        let made = || world.client(name);
        self.identities.entry(name.to_owned()).or_insert_with(made)
    }

    fn form_of(&mut self, name: &str, form: &str) -> String {
        let der = self.identity(name).issued.x509.to_der().unwrap();
        let (sha1, sha256) = (
            hex::encode(openssl::sha::sha1(&der)),
            Fingerprint::of(&der).to_string(),
        );
        match form {
            "sha1" => sha1,
            "SHA1" => sha1.to_uppercase(),
            "sha256" => sha256,
            "colons" => {
                let pairs = sha256.as_bytes().chunks(2).map(String::from_utf8_lossy);
                pairs.collect::<Vec<_>>().join(":").to_uppercase()
            }
            "base64" => BASE64_STANDARD.encode(&der),
            "serial" => Handed::read(&der)
                .unwrap()
                .facts
                .unwrap()
                .serial
                .to_uppercase(),
            other => panic!("no form {other}"),
        }
    }

    /// A folder with the certificates of these names, one to a file.
    pub(super) fn folder(&mut self, folder: &str, names: &[&str]) -> String {
        let path = self.world.path(folder);
        fs::create_dir_all(&path).unwrap();
        for name in names {
            let pem = self.identity(name).issued.pem();
            fs::write(path.join(format!("{name}.pem")), pem).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }
}
