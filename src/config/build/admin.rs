//! Where the operator's questions are answered.

use super::{Builder, Built, all};
use crate::admin::{Settings, Tls, Token};
use crate::config::file::{AdminTls, AdminToken, File};
use crate::config::problem::KeyPath;

impl Builder<'_> {
    pub(super) fn admin(&mut self, file: &File) -> Built<Option<Settings>> {
        let Some(typed) = &file.admin else {
            return Ok(None);
        };
        let table = KeyPath::top("admin");
        let tokens = self.tokens(&table.key("tokens"), &typed.tokens);
        let at = table.key("address");
        let text = typed.address.clone();
        let text = self.required(&at, text, r#"write address = "127.0.0.1:9443""#)?;
        let address = self.socket(&at, &text)?;
        let tls = self.admin_tls(&table.key("tls"), typed.tls.as_ref());
        let is_here = address.ip().to_canonical().is_loopback();
        let here = format!("write \"127.0.0.1:{}\"", address.port());
        if !is_here && typed.tls.is_none() {
            let wrong = format!(
                "{text:?} can be reached from other machines, and what is said there is not encrypted"
            );
            let write = format!("{here}, or a table [admin.tls] and at least one token");
            return Err(self.problem(&at, wrong, write));
        }
        if !is_here && typed.tokens.is_empty() {
            let wrong =
                format!("{text:?} can be reached from other machines, and nobody has a token");
            let write = format!("make one with keyferry token, or {here}");
            return Err(self.problem(&at, wrong, write));
        }
        let listener = file.listener.as_ref().and_then(|l| l.address.as_ref());
        let others = [listener, Some(&file.telemetry.address)];
        if others.into_iter().flatten().any(|other| *other == text) {
            let wrong = "this is the address of another listener";
            return Err(self.problem(&at, wrong, "use another port"));
        }
        let (tokens, tls) = (tokens?, tls?);
        Ok(Some(Settings {
            address,
            tokens,
            tls,
        }))
    }

    fn admin_tls(&mut self, at: &KeyPath, typed: Option<&AdminTls>) -> Built<Option<Tls>> {
        let Some(typed) = typed else { return Ok(None) };
        let own = self.pair(
            (
                &at.key("certificate_file"),
                typed.certificate_file.as_deref(),
            ),
            (&at.key("key_file"), typed.key_file.as_deref()),
        );
        let authorities = typed.client_ca_file.as_deref();
        let authorities = authorities
            .map(|path| self.certificates(&at.key("client_ca_file"), path))
            .transpose();
        let own = own?;
        Ok(Some(Tls {
            chain_pem: own.chain.as_bytes().to_vec(),
            key_pem: own.key,
            client_ca_pem: authorities?.map(|(pem, _)| pem.as_bytes().to_vec()),
        }))
    }

    fn tokens(&mut self, list: &KeyPath, typed: &[AdminToken]) -> Built<Vec<Token>> {
        let (mut names, mut digests) = (Vec::new(), Vec::new());
        all(typed.iter().enumerate().map(|(index, typed)| {
            let at = list.index(index);
            let name = self.name(&at, typed.name.clone(), &mut names);
            let role = self.required(&at.key("role"), typed.role, r#"write role = "viewer""#);
            let digest = self.token_digest(&at.key("sha256"), typed.sha256.clone(), &mut digests);
            let (name, role, digest) = (name?, role?, digest?);
            Ok(Token { name, role, digest })
        }))
    }

    fn token_digest(
        &mut self,
        at: &KeyPath,
        typed: Option<String>,
        seen: &mut Vec<[u8; 32]>,
    ) -> Built<[u8; 32]> {
        let text = self.required(at, typed, "make a token: keyferry token")?;
        let mut digest = [0; 32];
        // What is written here may be the token itself, so it is not shown.
        if hex::decode_to_slice(&text, &mut digest).is_err() {
            let wrong = "this is not the 64 hex digits of a SHA-256";
            let write = "write what keyferry token prints for the configuration, not the token";
            return Err(self.problem(at, wrong, write));
        }
        if seen.contains(&digest) {
            let write = "make a token for each: keyferry token";
            return Err(self.problem(at, "another token is the same", write));
        }
        seen.push(digest);
        Ok(digest)
    }
}
