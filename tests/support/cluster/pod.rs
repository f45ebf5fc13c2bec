//! One pod: the gateway as its container has it, with its volumes, probed as by a kubelet.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyferry::clock;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::service::{Endpoints, State};
use super::{Cluster, list, seconds, text};
use crate::support::process::{Process, program};
use crate::support::{free_addresses, linger, wait_for};

/// A running pod; it ends when dropped.
pub(crate) struct Pod {
    // Ends before its folder goes.
    process: Process,
    environment: Vec<(String, String)>,
    /// The container's own view: volumes at their places below it.
    root: TempDir,
    ports: BTreeMap<String, SocketAddr>,
    grace: Duration,
    endpoints: Arc<Endpoints>,
    kubelet: Arc<Kubelet>,
}

/// What the probes found.
#[derive(Default)]
struct Kubelet {
    is_over: AtomicBool,
    is_ready: AtomicBool,
    asked: AtomicU64,
    /// Why the container would have been killed.
    verdict: Mutex<Option<String>>,
}

impl Pod {
    /// Starts one with this lame duck, and the probes of it.
    #[track_caller]
    pub(crate) fn start(cluster: &Cluster, lame_duck: Duration) -> Self {
        let root = TempDir::new().expect("a temporary folder");
        cluster.lay_volumes(root.path());
        let spec = &cluster.manifest("Deployment")["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let [https, telemetry, admin] = free_addresses();
        let names = list(&container["ports"]).map(|port| text(&port["name"]).to_owned());
        let ports: BTreeMap<_, _> = names.zip([https, telemetry]).collect();

        let mut environment = variables(container, root.path());
        // Where things are on this machine; and from here all clients have one address.
        let here = [
            ("LISTENER__ADDRESS", ports["https"].to_string()),
            ("TELEMETRY__ADDRESS", ports["telemetry"].to_string()),
            ("ADMIN__ADDRESS", admin.to_string()),
            (
                "STORE__URL",
                format!("redis://keyferry@{}/0", cluster.redis),
            ),
            ("BACKEND__0__ADDRESSES__0", cluster.backend.to_string()),
            ("LIMITS__EXEMPT", "[\"127.0.0.0/8\"]".to_owned()),
            (
                "SHUTDOWN__LAME_DUCK",
                format!("{}ms", lame_duck.as_millis()),
            ),
        ];
        let here = here.map(|(name, value)| (format!("KEYFERRY__{name}"), value));
        environment.extend(here);

        let mut command = keyferry(&environment);
        command.args(list(&container["args"]).map(text));
        let grace = spec["terminationGracePeriodSeconds"].as_u64();
        let pod = Self {
            process: Process::start(&mut command, &root.path().join("log")),
            environment,
            grace: Duration::from_secs(grace.expect("a number")),
            endpoints: Arc::clone(&cluster.endpoints),
            kubelet: Arc::default(),
            root,
            ports,
        };
        pod.watch(container.clone());
        pod
    }

    fn watch(&self, container: Json) {
        let (kubelet, endpoints) = (Arc::clone(&self.kubelet), Arc::clone(&self.endpoints));
        let ports = self.ports.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "each pod is watched beside the test"
        )]
        std::thread::spawn(move || kubelet.watch(&container, &ports, &endpoints));
    }

    /// Waits until the readiness probe has found it ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&mut self) {
        wait_for("a pod to be ready", || {
            let ended = self.process.ended();
            assert!(ended.is_none(), "it ended: {}", self.process.log());
            self.kubelet.is_ready.load(Ordering::Relaxed).then_some(())
        });
    }

    /// The same, and then for as long as the Deployment wants to see it so.
    #[track_caller]
    pub(crate) fn wait_until_available(&mut self, cluster: &Cluster) {
        self.wait_until_ready();
        let least = &cluster.manifest("Deployment")["spec"]["minReadySeconds"];
        linger(seconds(least.as_u64().expect("a number")));
        assert!(self.kubelet.is_ready.load(Ordering::Relaxed));
    }

    /// Deletes it: its Service leads to it no more, it gets SIGTERM, and is killed when its grace
    /// period is over. Gives how it ended, and when.
    #[track_caller]
    pub(crate) fn delete(&mut self) -> (ExitStatus, Duration) {
        let begun = clock::monotonic();
        self.endpoints.set(self.ports["https"], State::Terminating);
        let kill = ["-c", "kill -TERM \"$0\""];
        let asked = Command::new("sh")
            .args(kill)
            .arg(self.process.id().to_string())
            .status();
        assert!(asked.expect("a shell").success());
        loop {
            if let Some(status) = self.process.ended() {
                self.kubelet.is_over.store(true, Ordering::Relaxed);
                return (status, begun.elapsed());
            }
            if begun.elapsed() > self.grace {
                return (self.process.kill(), begun.elapsed());
            }
            linger(Duration::from_millis(10));
        }
    }

    /// Runs a command in the container, as `kubectl exec` does.
    #[track_caller]
    pub(crate) fn exec(&self, arguments: &[&str]) -> String {
        let mut command = keyferry(&self.environment);
        command.args(arguments);
        let output = command.output().expect("the program");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where it takes clients.
    pub(crate) fn address(&self) -> SocketAddr {
        self.ports["https"]
    }

    /// Why the kubelet would have killed it.
    pub(crate) fn verdict(&self) -> Option<String> {
        self.kubelet.verdict.lock().expect("no panic there").clone()
    }

    /// How often it was probed.
    pub(crate) fn probes(&self) -> u64 {
        self.kubelet.asked.load(Ordering::Relaxed)
    }

    /// Swaps the volume at `place` for one with these files instead, as a kubelet does: all at once.
    pub(crate) fn swap(&self, place: &str, files: &[(&str, &[u8])]) {
        let volume = self.root.path().join(place.trim_start_matches('/'));
        let before = fs::read_link(volume.join("..data")).expect("a link");
        let next = format!("..{}", uuid::Uuid::now_v7());
        fs::create_dir(volume.join(&next)).expect("our own folder");
        for entry in fs::read_dir(volume.join(&before)).expect("our own folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name();
            let new = files.iter().find(|(file, _)| name == *file);
            let copy = volume.join(&next).join(&name);
            fs::copy(entry.path(), &copy).expect("a copy, with its mode");
            if let Some((_, contents)) = new {
                let mode = fs::metadata(&copy).expect("a copy").permissions();
                fs::remove_file(&copy).expect("our own file");
                fs::write(&copy, contents).expect("our own file");
                fs::set_permissions(&copy, mode).expect("our own file");
            }
        }
        symlink(&next, volume.join("..data_tmp")).expect("a link");
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("our own link");
        fs::remove_dir_all(volume.join(before)).expect("our own folder");
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kubelet.is_over.store(true, Ordering::Relaxed);
    }
}

impl Kubelet {
    /// Probes until the pod is over: startup until it passes, then readiness and liveness in turn.
    fn watch(&self, container: &Json, ports: &BTreeMap<String, SocketAddr>, endpoints: &Endpoints) {
        let probe = |name: &str| Probe::of(&container[name], ports);
        let (startup, readiness, liveness) = (
            probe("startupProbe"),
            probe("readinessProbe"),
            probe("livenessProbe"),
        );
        let mut failed = 0;
        while !self.passes(&startup) {
            failed += 1;
            if failed == startup.failures {
                return self.kill("it did not start in time");
            }
            linger(startup.period);
        }
        let (mut unready, mut dead) = (0, 0);
        let mut asked_whether_it_lives = clock::monotonic();
        while !self.is_over.load(Ordering::Relaxed) {
            let passes = self.passes(&readiness);
            unready = if passes { 0 } else { unready + 1 };
            if passes || unready >= readiness.failures {
                self.is_ready.store(passes, Ordering::Relaxed);
                let state = if passes { State::Ready } else { State::Unready };
                endpoints.set(ports["https"], state);
            }
            if asked_whether_it_lives.elapsed() >= liveness.period {
                asked_whether_it_lives = clock::monotonic();
                let lives = self.passes(&liveness) || self.is_over.load(Ordering::Relaxed);
                dead = if lives { 0 } else { dead + 1 };
                if dead >= liveness.failures {
                    return self.kill("its liveness probe failed");
                }
            }
            linger(readiness.period);
        }
    }

    fn passes(&self, probe: &Probe) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        probe.ask().unwrap_or(false)
    }

    fn kill(&self, why: &str) {
        *self.verdict.lock().expect("no panic there") = Some(why.to_owned());
    }
}

/// One probe by HTTP.
struct Probe {
    path: String,
    address: SocketAddr,
    period: Duration,
    /// Not scaled: the machine is as slow as it is.
    timeout: Duration,
    failures: u64,
}

impl Probe {
    fn of(probe: &Json, ports: &BTreeMap<String, SocketAddr>) -> Self {
        let number = |name: &str| probe[name].as_u64().expect("a number");
        let text = |name: &str| probe["httpGet"][name].as_str().expect("a text");
        Self {
            path: text("path").to_owned(),
            address: ports[text("port")],
            period: seconds(number("periodSeconds")),
            timeout: Duration::from_secs(number("timeoutSeconds")),
            failures: number("failureThreshold"),
        }
    }

    fn ask(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        stream.set_read_timeout(Some(self.timeout))?;
        let path = &self.path;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(matches!(status, Some(200..=399)))
    }
}

/// The program in this environment and no other.
fn keyferry(environment: &[(String, String)]) -> Command {
    let mut command = program();
    command.env_clear();
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// The variables of a container; places in its volumes are below `root`.
fn variables(container: &Json, root: &Path) -> Vec<(String, String)> {
    let places = || list(&container["volumeMounts"]).map(|mount| text(&mount["mountPath"]));
    let variables = list(&container["env"]).map(|variable| {
        let (name, value) = (text(&variable["name"]), text(&variable["value"]));
        let is_below = places().any(|place| value.starts_with(place));
        let root = root.display().to_string();
        let value = if is_below {
            root + value
        } else {
            value.to_owned()
        };
        (name.to_owned(), value)
    });
    variables.collect()
}
