//! The acts of the story: what the operator does, and what comes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
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

/// How long gauges, sightings and events may take to show everywhere; generous, since it costs
/// nothing when all is well.
const SETTLED: Duration = Duration::from_mins(5);

/// How many ids one command takes.
const AT_ONCE: usize = 1000;

/// For how long the certificates are still good that lapse, when they are first used.
const LAPSE_IN: i64 = 20;

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
            self.operator_of_many(&["client", "add"], &self.fleet.named(situation), &[]);
            for (name, file) in self.certificates_of(situation) {
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
        self.fleet.wait_turns(1);
        let away = self.fleet_of(&[Situation::Lapsed, Situation::Offline]);
        let coming = self.fleet_of(&[Situation::Lapsing]);
        let size = self.fleet.len();
        let step = self.settled("everybody calls by certificate", |step| {
            step.at(Stage::CertOnly) == size - away - coming
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
        self.fleet.wait_turns(1);
        let pending = self.operator(&["certificate", "list", "--pending", "--output", "json"]);
        let pending = pending.json();
        let pending = pending["certificates"].as_array().expect("a list");
        assert_eq!(
            pending.len(),
            self.fleet_of(&[Situation::Rekeying]),
            "{pending:?}"
        );
        let fingerprint = |one: &Value| one["fingerprint"].as_str().map(str::to_owned);
        let fingerprints: Vec<_> = pending.iter().filter_map(fingerprint).collect();
        self.operator_of_many(&["certificate", "approve"], &fingerprints, &[]);
        self.fleet.wait_turns(2);
        self.step("some renewed, some confused");
        let refused = self.refused();
        assert!(refused["credential_conflict"] >= self.fleet_of(&[Situation::Confused]));
        self.nobody_is_refused_any_more();
    }

    /// Some more come, with certificates that end soon. Each is made just before it is first used,
    /// so that it is used in time on any machine; and at both gateways, of which each knows only
    /// within a minute what was seen at the other.
    pub(crate) fn the_short_lived_come(&mut self, field: &Field) {
        self.fleet.each(|member| {
            if member.situation == Situation::Lapsing {
                member.comes_with_a_short_life(LAPSE_IN, &self.world.clients);
                member.turn(field);
                member.turn(field);
            }
        });
    }

    /// Their certificates end while they are in use, and they fetch their key by grace.
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
        self.fleet.wait_turns(1);
        self.step("the operator helps the lapsed");
    }

    /// Certificates will end, all answers to them say; whoever listens moves.
    pub(crate) fn announce(&mut self) {
        let sunset = ["--sunset", "2027-06-30"];
        self.operator(&[["phase", "announce", "--all"].as_slice(), &sunset].concat());
        self.fleet.wait_turns(2);
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
        let laggards = self.fleet.named(Situation::Laggard);
        let client = |name: &String| clients[name].first().expect("it was seen").clone();
        let laggards: Vec<_> = laggards.iter().map(client).collect();
        self.operator_of_many(&["client", "tag"], &laggards, &["--add", "laggard"]);
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
        self.fleet.wait_turns(2);
        let holdouts = self.fleet_of(&[Situation::Holdout]);
        self.settled("brownout for the laggards", |step| {
            step.at(Stage::CertOnly) == holdouts
        });
        assert!(self.refused()["brownout"] > 0);
    }

    /// Certificates are still in use, so they are not ended, unless the operator insists; and then
    /// it is undone.
    pub(crate) fn retire_too_early(&mut self, field: &Field) {
        let clients = self.legacy.clients();
        let holdouts = self.fleet.named(Situation::Holdout);
        let only = format!(": {} client(s)", holdouts.len());
        let refused = wait_longer("the others' window to pass", SETTLED * 10, || {
            self.fleet.wait_turns(1);
            // They still call, also where a turn of everybody takes longer than the window; and the
            // gateways tell of it every few seconds.
            (0..4).find_map(|_| {
                self.take_turn(Situation::Holdout, field);
                let told = self.gateways[0].cli(&["phase", "retire", "--all"]);
                assert_eq!(told.status.code(), Some(1), "{told:?}");
                told.errors.contains(&only).then_some(told)
            })
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
        self.give(&self.sealed_keys(Situation::Offline));
        self.fleet.wait_turns(2);
        self.settled("everybody has moved", |step| step.at(Stage::CertOnly) == 0);
    }

    /// Nobody called by certificate within the window: now they end, and nobody notices.
    pub(crate) fn retire(&mut self) {
        wait_longer("the window to pass", SETTLED * 10, || {
            self.fleet.wait_turns(1);
            let told = self.gateways[0].cli(&["phase", "retire", "--all"]);
            told.status.success().then_some(())
        });
        self.fleet.wait_turns(2);
        let size = self.fleet.len();
        self.settled("retired", |step| step.at(Stage::KeyOnly) == size);
    }

    /// Issues keys to those who do not call, and opens them as their owners would.
    fn sealed_keys(&self, situation: Situation) -> BTreeMap<String, String> {
        self.certificates_of(situation);
        let [certificates, out] = ["certificates", "sealed"]
            .map(|folder| self.folder(situation, folder).display().to_string());
        let issue = ["key", "issue", "--seal", "--certificates"];
        self.operator(&[issue.as_slice(), &[&certificates, "--out", &out]].concat());
        let mut keys = BTreeMap::new();
        let own = self.world.path("own.key");
        self.fleet.each(|member| {
            if member.situation == situation {
                fs::write(&own, member.shown.issued.key_pem()).expect("a file of our own");
                let opened = Command::new("openssl")
                    .args(["cms", "-decrypt", "-inform", "PEM", "-in"])
                    .arg(format!("{out}/{}.cms", member.name))
                    .arg("-inkey")
                    .arg(&own)
                    .output()
                    .expect("openssl");
                assert!(opened.status.success(), "{opened:?}");
                let key = String::from_utf8_lossy(&opened.stdout).trim().to_owned();
                keys.insert(member.name.clone(), key);
            }
        });
        keys
    }

    /// The members in a situation call, beside their turns.
    fn take_turn(&self, situation: Situation, field: &Field) {
        self.fleet.each(|member| {
            if member.situation == situation {
                member.turn(field);
            }
        });
    }

    fn give(&self, keys: &BTreeMap<String, String>) {
        self.fleet.each(|member| {
            if let Some(key) = keys.get(&member.name) {
                (member.key, member.uses) = (Some(key.clone()), Uses::Key);
                member.is_away = false;
            }
        });
    }

    /// The certificates of the members in a situation, in a folder of theirs: by name.
    fn certificates_of(&self, situation: Situation) -> Vec<(String, String)> {
        let folder = self.folder(situation, "certificates");
        fs::create_dir_all(&folder).expect("a folder of our own");
        let mut files = Vec::new();
        self.fleet.each(|member| {
            if member.situation == situation {
                let file = folder.join(format!("{}.pem", member.name));
                fs::write(&file, member.shown.issued.pem()).expect("a file of our own");
                files.push((member.name.clone(), file.display().to_string()));
            }
        });
        files
    }

    fn folder(&self, situation: Situation, name: &str) -> PathBuf {
        self.world.path(&format!("{situation:?}-{name}"))
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

    /// A command about so many that it may have to be given several times.
    #[track_caller]
    fn operator_of_many(&self, command: &[&str], ids: &[String], rest: &[&str]) {
        for ids in ids.chunks(AT_ONCE) {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            self.operator(&[command, &ids, rest].concat());
        }
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
