//! Who uses a gateway until it is killed: clients that serve themselves, and the operator.

use std::net::SocketAddr;

use super::ledger::{Ledger, id_of};
use super::support::dice::Dice;
use super::support::gateway::Gateway;
use super::support::pki::{Issued, leaf};
use super::support::wire::{Answer, Shown, Tls};

const SELF_SERVICE: &str = "/.well-known/keyferry";

/// Where clients call, and who signs their certificates.
pub(crate) struct Field<'a> {
    pub(crate) gateway: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) authority: &'a Issued,
    pub(crate) ledger: Ledger,
}

/// What a client does next; what fails is tried again.
enum Step {
    Claim,
    Rotate { key: String },
    Revoke { old: String, new: String },
}

/// One client after another: each claims its key, rotates it, and revokes the old one.
pub(crate) struct Client {
    name: String,
    lives: u32,
    shown: Shown,
    step: Step,
}

impl Field<'_> {
    /// A request by key, or by certificate where there is no key.
    pub(crate) fn call(
        &self,
        (method, path): (&str, &str),
        shown: &Shown,
        key: Option<&str>,
        token: Option<&str>,
    ) -> Result<Answer, String> {
        let shown = Some(shown).filter(|_| key.is_none());
        let mut wire = self.tls.connect(self.gateway, shown)?;
        let key = key.map(|key| format!("Authorization: Bearer {key}"));
        let token = token.map(|token| format!("Idempotency-Key: {token}"));
        let fields: Vec<_> = key.into_iter().chain(token).collect();
        wire.call(method, path, &fields)
    }
}

impl Client {
    pub(crate) fn new(name: String, authority: &Issued) -> Self {
        Self {
            shown: certificate(&name, 0, authority),
            name,
            lives: 0,
            step: Step::Claim,
        }
    }

    /// Takes the next step. Whatever is not the answer that was hoped for means that the gateway, or
    /// its store, is gone: or else something was done by half.
    pub(crate) fn turn(&mut self, field: &Field<'_>) -> Result<(), String> {
        let token = format!("{}-{}-by-chance-and-secret", self.name, self.lives);
        let token = Some(token.as_str());
        match &self.step {
            Step::Claim => {
                let claim = ("POST", &*format!("{SELF_SERVICE}/key"));
                let key = expect_key(&field.call(claim, &self.shown, None, token)?)?;
                field.ledger.works(&key);
                self.step = Step::Rotate { key };
            }
            Step::Rotate { key } => {
                let rotate = ("POST", &*format!("{SELF_SERVICE}/key/rotate"));
                let new = expect_key(&field.call(rotate, &self.shown, Some(key), token)?)?;
                field.ledger.works(&new);
                let old = key.clone();
                self.step = Step::Revoke { old, new };
            }
            Step::Revoke { old, new } => {
                expect(
                    200,
                    &field.call(("GET", "/"), &self.shown, Some(new), None)?,
                )?;
                field.ledger.is_doubtful(old);
                let revoke = ("DELETE", &*format!("{SELF_SERVICE}/keys/{}", id_of(old)));
                expect(204, &field.call(revoke, &self.shown, Some(new), None)?)?;
                field.ledger.is_revoked(old);
                self.lives += 1;
                self.shown = certificate(&self.name, self.lives, field.authority);
                self.step = Step::Claim;
            }
        }
        Ok(())
    }
}

fn certificate(name: &str, life: u32, authority: &Issued) -> Shown {
    Shown {
        issued: leaf(&format!("{name}-{life}")).signed_by(authority),
        whole: true,
    }
}

fn expect_key(answer: &Answer) -> Result<String, String> {
    expect(201, answer)?;
    Ok(answer.json()["key"].as_str().expect("a key").to_owned())
}

/// A store that is away is an answer that may be; any other is a panic.
fn expect(status: u16, answer: &Answer) -> Result<(), String> {
    match answer.status {
        503 => Err(answer.reason()),
        found => {
            assert_eq!(found, status, "{answer:?}");
            Ok(())
        }
    }
}

/// The operator, with commands: adds a client, issues its key, and revokes one of the keys before.
pub(crate) struct Operator {
    pub(crate) dice: Dice,
    keys: Vec<String>,
    added: u32,
}

impl Operator {
    pub(crate) const fn new(dice: Dice) -> Self {
        Self {
            dice,
            keys: Vec::new(),
            added: 0,
        }
    }

    /// Gives the next commands; one that fails is left.
    pub(crate) fn turn(&mut self, gateway: &Gateway, ledger: &Ledger) -> Result<(), String> {
        self.added += 1;
        let client = format!("named-{}", self.added);
        command(gateway, &["client", "add", &client])?;
        ledger.has_client(&client);
        let key = command(gateway, &["key", "issue", "--client", &client])?;
        ledger.works(&key);
        self.keys.push(key);
        if self.dice.below(2) == 0 {
            let at = self.dice.below(self.keys.len() as u64);
            let at = usize::try_from(at).expect("one of them");
            let key = self.keys.swap_remove(at);
            ledger.is_doubtful(&key);
            command(gateway, &["key", "revoke", id_of(&key)])?;
            ledger.is_revoked(&key);
        }
        Ok(())
    }
}

/// The first line that the command prints, when it succeeded.
fn command(gateway: &Gateway, arguments: &[&str]) -> Result<String, String> {
    let told = gateway.cli(arguments);
    if told.status.success() {
        Ok(told.output.trim().to_owned())
    } else {
        Err(told.errors)
    }
}
