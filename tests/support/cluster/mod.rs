//! What a cluster does with the manifests under k8s/, as far as processes allow.
//!
//! Command lines, variables, ports, volumes, probes and grace periods are those of the rendered
//! Deployment. Where things are differs, since everything is on this machine: volumes lie in folders
//! of their pods, and listeners, Redis and backends have ports of the system's. What takes seconds in
//! a cluster takes a fifth of them here.

pub(crate) mod pod;
pub(crate) mod service;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use toml::Table;

use self::service::{Endpoints, Service};
use super::backend::Backend;
use super::free_addresses;
use super::process::Process;
use super::world::World;

/// How much quicker time goes here.
const FASTER: u32 = 5;
/// How long the news of a Service's endpoints may take to all nodes: in a cluster, a second or two.
const NEWS: Duration = Duration::from_secs(2);

/// So many seconds of a cluster.
pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds) / FASTER
}

/// The gateway's manifests with a Redis beside it, and what they need to run.
pub(crate) struct Cluster {
    // Ends before its folder goes.
    _redis: Process,
    manifests: Vec<Json>,
    /// The manifests in a file, what is made for volumes, and the data of Redis.
    folder: TempDir,
    redis: SocketAddr,
    backend: SocketAddr,
    endpoints: Arc<Endpoints>,
}

impl Cluster {
    /// Renders the base with the Redis for development, and starts that.
    #[track_caller]
    pub(crate) fn start(world: &World, backend: &Backend) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let rendered = python(&[
            Path::new("tests/k8s/manifests.py"),
            Path::new("components/redis-dev"),
        ]);
        fs::write(folder.path().join("rendered.json"), &rendered).expect("our own file");
        let manifests: Vec<Json> = serde_json::from_slice(&rendered).expect("manifests");
        // What the cluster's operators would bring; the rest is made with the first pod.
        let made = folder.path().join("made");
        fs::create_dir(&made).expect("our own folder");
        let keep = |name: &str, text: &[u8]| fs::write(made.join(name), text).expect("our file");
        keep("tls.crt", &world.gateway.issued.chain_pem());
        keep("tls.key", &world.gateway.issued.key_pem());
        keep("partners.pem", &world.clients.pem());
        keep("redis.password", b"a-password-that-nobody-would-guess\n");
        let [redis] = free_addresses();
        Self {
            _redis: start_redis(find(&manifests, "Deployment", "redis"), &folder, redis),
            manifests,
            folder,
            redis,
            backend: backend.address(),
            endpoints: Arc::new(Endpoints::new(NEWS / FASTER)),
        }
    }

    /// The manifest of this kind that is the gateway's.
    #[track_caller]
    pub(crate) fn manifest(&self, kind: &str) -> &Json {
        find(&self.manifests, kind, "keyferry")
    }

    /// How many gateways there are at the least.
    pub(crate) fn replicas(&self) -> usize {
        let least = self.manifest("HorizontalPodAutoscaler")["spec"]["minReplicas"].as_u64();
        usize::try_from(least.expect("a number")).expect("a small number")
    }

    /// The lame duck of the configuration that the pods mount, as time goes here.
    pub(crate) fn lame_duck(&self) -> Duration {
        let config = find(&self.manifests, "ConfigMap", "keyferry-config");
        let config: Table = text(&config["data"]["keyferry.toml"])
            .parse()
            .expect("TOML");
        let told = config["shutdown"]["lame_duck"].as_str().expect("a period");
        let told = told.strip_suffix('s').and_then(|told| told.parse().ok());
        seconds(told.expect("whole seconds"))
    }

    /// Where clients call: at those pods that the Service selects, by what the nodes know of them.
    pub(crate) fn service(&self) -> Service {
        Service::start(Arc::clone(&self.endpoints))
    }

    /// A file that was made for volumes.
    pub(crate) fn made(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join("made").join(name)).expect("a file that was made")
    }

    /// Lays the volumes of a pod.
    fn lay_volumes(&self, root: &Path) {
        let rendered = self.folder.path().join("rendered.json");
        let made = self.folder.path().join("made");
        python(&[Path::new("tests/k8s/volumes.py"), &rendered, root, &made]);
    }
}

#[track_caller]
fn find<'a>(manifests: &'a [Json], kind: &str, name: &str) -> &'a Json {
    let is_it = |one: &&Json| one["kind"] == kind && one["metadata"]["name"] == name;
    manifests
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Redis as its manifest has it: the same script, with places and port of this machine.
fn start_redis(manifest: &Json, folder: &TempDir, address: SocketAddr) -> Process {
    let container = &manifest["spec"]["template"]["spec"]["containers"][0];
    let (data, made) = (folder.path().join("data"), folder.path().join("made"));
    fs::create_dir(&data).expect("our own folder");
    let script = container["args"][0].as_str().expect("a script");
    let (data, made) = (data.display().to_string(), made.display().to_string());
    let script = script
        .trim_end()
        .replace("/data", &data)
        .replace("/etc/redis/secrets", &made);
    let script = format!("{script} --bind 127.0.0.1 --port {}", address.port());
    let shell: Vec<_> = list(&container["command"]).map(text).collect();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script);
    Process::start(&mut command, &folder.path().join("redis.log"))
}

/// The elements of a list, none where there is no list.
fn list(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Json) -> &str {
    value.as_str().expect("a text")
}

/// What a script of the checks of the manifests prints.
#[track_caller]
fn python(arguments: &[&Path]) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("target/venv/bin/python"));
    command.current_dir(&root).args(arguments);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("make setup brings it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output.stdout
}
