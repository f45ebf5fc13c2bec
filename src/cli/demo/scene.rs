//! The scene of the demonstration: certificates, a backend, a store and a gateway, all of them
//! real, in a folder that goes when it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::stop::Stop;
use crate::admin::Token;
use crate::cli::development::{Made, Purpose, Wish};
use crate::clock;

/// How long the gateway may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Everything that plays.
pub(super) struct Scene {
    /// The port of the gateway.
    pub(super) port: u16,
    /// Where the console is.
    pub(super) console: SocketAddr,
    gateway: Running,
    _backends: Running,
    /// Last, so that it goes when nobody works in it any more.
    folder: Folder,
}

/// Where everything listens.
struct Addresses {
    gateway: SocketAddr,
    backend: SocketAddr,
    old: SocketAddr,
    telemetry: SocketAddr,
    admin: SocketAddr,
}

/// A program that ends with the scene, or earlier when no scene comes of it.
struct Running(Child);

/// A folder for this user only, that goes with all that is in it. Nobody can take its name before.
struct Folder(PathBuf);

impl Scene {
    /// Makes the certificates, starts the backends and the gateway, and waits until both are ready.
    pub(super) fn set(stop: &mut Stop) -> anyhow::Result<Self> {
        let folder = Folder::make()?;
        let addresses = Addresses::free()?;
        let gateway = addresses.gateway;
        let backends = [addresses.backend, addresses.old].map(|address| address.to_string());
        certificates(&folder.0)?;
        for name in ["pepper", "orders", "old", "untold"] {
            secret(&folder.0.join(name).with_extension("key"))?;
        }
        let (token, digest) = Token::make()?;
        write(&folder.0.join("console.token"), token.expose().as_bytes())?;
        write(
            &folder.0.join("keyferry.toml"),
            configuration(&addresses, digest).as_bytes(),
        )?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let playing = start(
            &folder.0,
            Command::new(&program)
                .args(["demo", "--backends"])
                .args(backends),
            "backends.log",
        )?;
        let mut scene = Self {
            port: gateway.port(),
            console: addresses.admin,
            gateway: start(
                &folder.0,
                Command::new(&program).args(["run", "--config", "keyferry.toml"]),
                "gateway.log",
            )?,
            _backends: playing,
            folder,
        };
        scene.wait_until_ready(&addresses, stop)?;
        Ok(scene)
    }

    /// The folder that everything is in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    fn wait_until_ready(&mut self, addresses: &Addresses, stop: &mut Stop) -> anyhow::Result<()> {
        let begun = clock::monotonic();
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.gateway.0.try_wait()? {
                let log = fs::read_to_string(self.folder.0.join("gateway.log")).unwrap_or_default();
                bail!("the gateway ended ({status}):\n{log}");
            }
            let backends = [addresses.backend, addresses.old];
            let answers = |backend: &SocketAddr| TcpStream::connect(backend).is_ok();
            if is_ready(addresses.telemetry) && backends.iter().all(answers) {
                return Ok(());
            }
            stop.pause()?;
        }
        bail!(
            "the gateway was not ready within {} s",
            READY_WITHIN.as_secs()
        )
    }
}

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let path = std::env::temp_dir().join(format!("keyferry-demo-{}", hex::encode(bytes)));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_ready(telemetry: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(telemetry)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: demo\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(64).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(" 200 "))
}

fn start(folder: &Path, command: &mut Command, log: &str) -> anyhow::Result<Running> {
    let log = new_file(&folder.join(log))?;
    let errors = log.try_clone()?;
    let child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn();
    let child = child.context("cannot start this program once more")?;
    Ok(Running(child))
}

impl Addresses {
    /// Ports that are free now, taken together so that they differ.
    fn free() -> anyhow::Result<Self> {
        let bind =
            || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of 127.0.0.1 is free");
        let listeners = [bind()?, bind()?, bind()?, bind()?, bind()?];
        let [gateway, backend, old, telemetry, admin] =
            listeners.each_ref().map(TcpListener::local_addr);
        Ok(Self {
            gateway: gateway?,
            backend: backend?,
            old: old?,
            telemetry: telemetry?,
            admin: admin?,
        })
    }
}

/// A root, an intermediate, a certificate for the gateway, and two clients: one that sends the
/// intermediate along, and one that has also a file without it.
fn certificates(folder: &Path) -> anyhow::Result<()> {
    let root = Wish::new("Demo Root CA", Purpose::Authority).make(None)?;
    let issuing = Wish::new("Demo Issuing CA", Purpose::Authority).make(Some(&root))?;
    let localhost = Wish::new("localhost", Purpose::Localhost).make(Some(&root))?;
    let acme = Wish::new("acme-payments", Purpose::Client).make(Some(&issuing))?;
    let globex = Wish::new("globex-reports", Purpose::Client).make(Some(&issuing))?;
    write(&folder.join("ca.pem"), &root.certificate_pem()?)?;
    files(folder, "server", &[&localhost])?;
    files(folder, "acme", &[&acme, &issuing])?;
    files(folder, "globex", &[&globex, &issuing])?;
    write(&folder.join("globex-alone.pem"), &globex.certificate_pem()?)
}

/// The chain of a certificate, itself first, and its key.
fn files(folder: &Path, name: &str, chain: &[&Made]) -> anyhow::Result<()> {
    let mut certificates = Vec::new();
    for made in chain {
        certificates.extend(made.certificate_pem()?);
    }
    write(&folder.join(format!("{name}.pem")), &certificates)?;
    let own = chain.first().context("a chain of nothing")?;
    write(&folder.join(format!("{name}.key")), &own.key_pem()?)
}

fn secret(path: &Path) -> anyhow::Result<()> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    write(path, hex::encode(bytes).as_bytes())
}

fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    new_file(path)?
        .write_all(contents)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn new_file(path: &Path) -> anyhow::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.with_context(|| format!("cannot make {}", path.display()))
}

fn configuration(addresses: &Addresses, token: [u8; 32]) -> String {
    let token = hex::encode(token);
    let Addresses {
        gateway,
        backend,
        old,
        telemetry,
        admin,
    } = addresses;
    format!(
        r#"[listener]
address = "{gateway}"
client_certificates = "optional"
[[listener.certificate]]
certificate_file = "server.pem"
key_file = "server.key"

[[ca]]
name = "demo"
file = "ca.pem"

[enrolment]
mode = "auto"

[[key.pepper]]
version = 1
file = "pepper.key"

[store]
kind = "embedded"
path = "keyferry.redb"

[[backend]]
name = "orders"
addresses = ["{backend}"]
signing = {{ key_id = "orders-demo", secret_file = "orders.key" }}

# It knows its callers by one header alone, as its old proxy sent it.
[[backend]]
name = "old"
addresses = ["{old}"]
signing = {{ key_id = "old-demo", secret_file = "old.key" }}
masquerade = [{{ header = "X-SSL-Client-S-DN", value = "$ssl_client_s_dn" }}]

# The same one, which is not told.
[[backend]]
name = "untold"
addresses = ["{old}"]
signing = {{ key_id = "untold-demo", secret_file = "untold.key" }}

[[route]]
name = "orders"
backend = "orders"
accept = "either"

[[route]]
name = "old"
path = "/old"
backend = "old"
accept = "either"

[[route]]
name = "untold"
path = "/untold"
backend = "untold"
accept = "either"

[telemetry]
address = "{telemetry}"

[admin]
address = "{admin}"
tokens = [{{ name = "demo", role = "admin", sha256 = "{token}" }}]
"#
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_scene_is_for_its_user_only_and_leaves_nothing_behind() {
        let folder = Folder::make().unwrap();
        let other = Folder::make().unwrap();
        assert_ne!(folder.0, other.0);
        let path = folder.0.clone();
        let running = start(&path, Command::new("sleep").arg("600"), "log").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("log"))), (0o700, 0o600));
        let process = PathBuf::from(format!("/proc/{}", running.0.id()));
        assert!(process.exists());
        drop((running, folder));
        assert!(!process.exists() && !path.exists());
    }
}
