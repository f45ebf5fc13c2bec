//! The acts of the story: what the operator does, and what comes of it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyferry::client::Stage;
use serde_json::Value;

use super::backend::Legacy;
use super::fleet::Fleet;
use super::member::{Field, Situation, Uses};
use super::report::{Report, Step};
use crate::support::gateway::{Gateway, Told};
use crate::support::wait_longer;
use crate::support::world::World;

/// How long gauges, sightings and events may take to show everywhere.
const SETTLED: Duration = Duration::from_mins(1);

/// The stage and everybody on it.
pub(crate) struct Act<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) gateways: &'a [Gateway; 2],
    pub(crate) legacy: &'a Legacy,
    pub(crate) report: &'a mut Report,
    pub(crate) world: &'a World,
}

impl Act<'_> {
    /// The operator names those who cannot enrol by themselves.
    pub(crate) fn register(&mut self) {
        for situation in [Situation::Lapsed, Situation::Offline] {
            for name in self.fleet.named(situation) {
                self.operator(&["client", "add", &name]);
                let file = self.certificate_of(&name);
                self.operator(&["certificate", "add", &file, "--client", &name]);
            }
        }
        let step = self.step("named by the operator");
        assert_eq!(
            step.at(Stage::Registered),
            self.fleet_of(&[Situation::Lapsed, Situation::Offline])
        );
    }

    /// Everybody else enrols at first sight.
    pub(crate) fn everybody_calls_by_certificate(&mut self) {
        self.fleet.wait_turns(2);
        let away = self.fleet_of(&[Situation::Lapsed, Situation::Offline]);
        let size = self.fleet.len();
        let step = self.settled("everybody calls by certificate", |step| {
            step.at(Stage::CertOnly) == size - away
        });
        assert_eq!(step.at(Stage::Registered), away);
    }

    /// Some renew, and some mistake somebody else's key for their own.
    pub(crate) fn mishaps(&mut self, field: &Field) {
        self.operator(&["client", "add", "somebody-else"]);
        let key = self.operator(&["key", "issue", "--client", "somebody-else"]);
        self.fleet.each(|member| {
            if member.situation == Situation::Confused {
                member.mistaken = Some(key.output.trim().to_owned());
                member.uses = Uses::Both;
            }
        });
        field.renew.store(true, Ordering::Relaxed);
        self.fleet.wait_turns(2);
        let pending = self.operator(&["certificate", "list", "--pending", "--output", "json"]);
        let pending = pending.json();
        let pending = pending["certificates"].as_array().expect("a list");
        assert_eq!(
            pending.len(),
            self.fleet_of(&[Situation::Rekeying]),
            "{pending:?}"
        );
        for certificate in pending {
            let fingerprint = certificate["fingerprint"].as_str().expect("a fingerprint");
            self.operator(&["certificate", "approve", fingerprint]);
        }
        self.fleet.wait_turns(2);
        self.step("some renewed, some confused");
        let refused = self.refused();
        assert!(refused["credential_conflict"] >= self.fleet_of(&[Situation::Confused]));
        self.nobody_is_refused_any_more();
    }

    /// Some certificates end while they are in use; their clients fetch their key by grace.
    pub(crate) fn certificates_lapse(&mut self) {
        let lapsing = self.fleet_of(&[Situation::Lapsing]);
        wait_longer("the certificates to end", SETTLED * 10, || {
            let mut moved = 0;
            self.fleet.each(|member| {
                moved +=
                    usize::from(member.situation == Situation::Lapsing && member.uses == Uses::Key);
            });
            (moved == lapsing).then_some(())
        });
        self.step("certificates lapse, claims by grace");
    }

    /// Those whose certificates ended long ago were told so, and that the operator can help.
    pub(crate) fn the_operator_helps(&mut self) {
        let lapsed = self.fleet.named(Situation::Lapsed);
        assert!(self.refused()["certificate_expired"] >= lapsed.len());
        let mut keys = BTreeMap::new();
        for name in &lapsed {
            let issued = self.operator(&["key", "issue", "--client", name]);
            keys.insert(name.clone(), issued.output.trim().to_owned());
        }
        self.give(&keys);
        self.fleet.wait_turns(2);
        self.step("the operator helps the lapsed");
    }

    /// Certificates will end, all answers to them say; whoever listens moves.
    pub(crate) fn announce(&mut self) {
        let sunset = ["--sunset", "2027-06-30"];
        self.operator(&[["phase", "announce", "--all"].as_slice(), &sunset].concat());
        self.fleet.wait_turns(4);
        let still = [Situation::Laggard, Situation::Holdout];
        let (still, offline) = (self.fleet_of(&still), self.fleet_of(&[Situation::Offline]));
        let moved = self.fleet.len() - still - offline;
        let step = self.settled("announced", |step| {
            step.at(Stage::Dual) + step.at(Stage::KeyOnly) == moved
        });
        assert_eq!(step.at(Stage::CertOnly), still);
    }

    /// Whoever did not listen feels it, for the time of a window.
    pub(crate) fn brown_out(&mut self) {
        let clients = self.legacy.clients();
        for name in self.fleet.named(Situation::Laggard) {
            let client = clients[&name].first().expect("it was seen");
            self.operator(&["client", "tag", client, "--add", "laggard"]);
        }
        let brownout = [
            "phase",
            "brownout",
            "--cohort",
            "laggard",
            "--percent",
            "100",
        ];
        let force = ["--from", "now", "--force", "--reason", "the drill"];
        self.operator(&[brownout.as_slice(), &force].concat());
        self.fleet.wait_turns(4);
        let holdouts = self.fleet_of(&[Situation::Holdout]);
        self.settled("brownout for the laggards", |step| {
            step.at(Stage::CertOnly) == holdouts
        });
        assert!(self.refused()["brownout"] > 0);
    }

    /// Certificates are still in use, so they are not ended, unless the operator insists; and then
    /// it is undone.
    pub(crate) fn retire_too_early(&mut self) {
        let clients = self.legacy.clients();
        let holdouts = self.fleet.named(Situation::Holdout);
        let only = format!("{} client(s)", holdouts.len());
        let refused = wait_longer("the others' window to pass", SETTLED * 10, || {
            let told = self.gateways[0].cli(&["phase", "retire", "--all"]);
            assert_eq!(told.status.code(), Some(1), "{told:?}");
            told.errors.contains(&only).then_some(told)
        });
        // The first twenty are named, the others counted.
        let named = |name: &&String| {
            let client = clients[name.as_str()].first().expect("it was seen");
            refused.errors.contains(client.as_str())
        };
        let named = holdouts.iter().filter(named).count();
        assert_eq!(named, holdouts.len().min(20), "{refused:?}");
        self.operator(&[
            "phase",
            "retire",
            "--all",
            "--force",
            "--reason",
            "the drill",
        ]);
        self.fleet.wait_turns(2);
        let step = self.step("retired by force");
        assert!(step.at(Stage::CertOnly) > 0);
        assert!(
            self.refused().contains_key("credential_missing")
                || self.refused().contains_key("certificate_retired")
        );
        self.operator(&["phase", "undo"]);
        self.fleet.wait_turns(1);
        self.nobody_is_refused_any_more();
    }

    /// The holdouts give in, and those who were away come back with the key that was sent to them.
    pub(crate) fn the_last_ones_move(&mut self) {
        self.fleet.each(|member| {
            if member.situation == Situation::Holdout {
                member.listens = true;
            }
        });
        let mut keys = BTreeMap::new();
        for name in self.fleet.named(Situation::Offline) {
            keys.insert(name.clone(), self.sealed_key(&name));
        }
        self.give(&keys);
        self.fleet.wait_turns(4);
        self.settled("everybody has moved", |step| step.at(Stage::CertOnly) == 0);
    }

    /// Nobody called by certificate within the window: now they end, and nobody notices.
    pub(crate) fn retire(&mut self) {
        wait_longer("the window to pass", SETTLED * 10, || {
            let told = self.gateways[0].cli(&["phase", "retire", "--all"]);
            told.status.success().then_some(())
        });
        self.fleet.wait_turns(2);
        let size = self.fleet.len();
        self.settled("retired", |step| step.at(Stage::KeyOnly) == size);
    }

    /// Issues a key to somebody who does not call, and opens it as its owner would.
    fn sealed_key(&self, name: &str) -> String {
        let certificate = self.certificate_of(name);
        let issue = [
            "key",
            "issue",
            "--client",
            name,
            "--seal",
            "--certificate",
            &certificate,
        ];
        let sealed = self.world.path(&format!("{name}.cms"));
        fs::write(&sealed, self.operator(&issue).output).expect("a file of our own");
        let own = self.world.path(&format!("{name}.key"));
        self.fleet.each(|member| {
            if member.name == name {
                fs::write(&own, member.shown.issued.key_pem()).expect("a file of our own");
            }
        });
        let opened = Command::new("openssl")
            .args(["cms", "-decrypt", "-inform", "PEM", "-in"])
            .arg(&sealed)
            .arg("-inkey")
            .arg(&own)
            .output()
            .expect("openssl");
        assert!(opened.status.success(), "{opened:?}");
        String::from_utf8_lossy(&opened.stdout).trim().to_owned()
    }

    fn give(&self, keys: &BTreeMap<String, String>) {
        self.fleet.each(|member| {
            if let Some(key) = keys.get(&member.name) {
                (member.key, member.uses) = (Some(key.clone()), Uses::Key);
            }
        });
    }

    /// The member's certificate in a file.
    fn certificate_of(&self, name: &str) -> String {
        let file = self.world.path(&format!("{name}.pem"));
        self.fleet.each(|member| {
            if member.name == name {
                fs::write(&file, member.shown.issued.pem()).expect("a file of our own");
            }
        });
        file.to_str().expect("a plain path").to_owned()
    }

    fn fleet_of(&self, situations: &[Situation]) -> usize {
        situations
            .iter()
            .map(|situation| self.fleet.named(*situation).len())
            .sum()
    }

    /// The refusals so far that belong to a situation, by reason.
    fn refused(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        self.fleet.each(|member| {
            for (reason, count) in &member.refused {
                *all.entry(reason.clone()).or_default() += count;
            }
        });
        all
    }

    fn nobody_is_refused_any_more(&self) {
        let expired = |mut refused: BTreeMap<String, usize>| {
            refused.remove("certificate_expired");
            refused
        };
        let before = expired(self.refused());
        self.fleet.wait_turns(2);
        assert_eq!(expired(self.refused()), before);
    }

    #[track_caller]
    fn operator(&self, arguments: &[&str]) -> Told {
        self.gateways[0].cli(arguments).expect_success()
    }

    fn status(&self) -> Value {
        self.operator(&["status", "--output", "json"]).json()
    }

    fn step(&mut self, name: &'static str) -> &Step {
        let status = self.status();
        self.report.step(name, &status)
    }

    /// The step once `is_so`: what was seen is written every few seconds.
    fn settled(&mut self, name: &'static str, is_so: impl Fn(&Step) -> bool) -> &Step {
        wait_longer(name, SETTLED, || {
            is_so(&Step::read(name, &self.status())).then_some(())
        });
        self.step(name)
    }
}
