//! The scene of the demonstration: certificates, a backend, a store and a gateway, all of them
//! real, in a folder that goes when it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::development::{Made, Purpose, Wish};
use crate::clock;

/// How long the gateway may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Everything that plays.
pub(super) struct Scene {
    folder: PathBuf,
    /// The port of the gateway.
    pub(super) port: u16,
    gateway: Child,
    backend: Child,
}

impl Scene {
    /// Makes the certificates, starts the backend and the gateway, and waits until both are ready.
    pub(super) fn set() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("keyferry-demo-{}", std::process::id()));
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let [gateway, backend, telemetry] = free_addresses()?;
        certificates(&folder)?;
        secret(&folder.join("pepper.key"))?;
        secret(&folder.join("orders.key"))?;
        write(
            &folder.join("keyferry.toml"),
            configuration(gateway, backend, telemetry).as_bytes(),
        )?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut scene = Self {
            port: gateway.port(),
            backend: start(
                &folder,
                Command::new(&program).args(["demo", "--backend", &backend.to_string()]),
                "backend.log",
            )?,
            gateway: start(
                &folder,
                Command::new(&program).args(["run", "--config", "keyferry.toml"]),
                "gateway.log",
            )?,
            folder,
        };
        scene.wait_until_ready(backend, telemetry)?;
        Ok(scene)
    }

    /// The folder that everything is in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stays as it is until Ctrl-C.
    #[expect(
        clippy::unused_self,
        reason = "the scene must be there while one waits"
    )]
    pub(super) fn wait(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime
            .block_on(tokio::signal::ctrl_c())
            .context("cannot wait for Ctrl-C")
    }

    fn wait_until_ready(
        &mut self,
        backend: SocketAddr,
        telemetry: SocketAddr,
    ) -> anyhow::Result<()> {
        let begun = clock::monotonic();
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.gateway.try_wait()? {
                let log = fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default();
                bail!("the gateway ended ({status}):\n{log}");
            }
            if is_ready(telemetry) && TcpStream::connect(backend).is_ok() {
                return Ok(());
            }
            pause();
        }
        bail!(
            "the gateway was not ready within {} s",
            READY_WITHIN.as_secs()
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in [&mut self.gateway, &mut self.backend] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command that waits for its children has no worker to block"
)]
pub(super) fn pause() {
    std::thread::sleep(Duration::from_millis(100));
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

fn start(folder: &Path, command: &mut Command, log: &str) -> anyhow::Result<Child> {
    let log = fs::File::create(folder.join(log))?;
    let errors = log.try_clone()?;
    let child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn();
    child.context("cannot start this program once more")
}

/// Three ports that are free now, taken together so that they differ.
fn free_addresses() -> anyhow::Result<[SocketAddr; 3]> {
    let bind =
        || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port of 127.0.0.1 is free");
    let listeners = [bind()?, bind()?, bind()?];
    let [a, b, c] = listeners.each_ref().map(TcpListener::local_addr);
    Ok([a?, b?, c?])
}

/// A CA, a certificate for the gateway, and two clients: one whose certificate is good, and one
/// whose certificate has expired.
fn certificates(folder: &Path) -> anyhow::Result<()> {
    let authority = Wish::new("Demo Issuing CA", Purpose::Authority).make(None)?;
    let localhost = Wish::new("localhost", Purpose::Localhost).make(Some(&authority))?;
    let good = Wish::new("acme-payments", Purpose::Client).make(Some(&authority))?;
    let expired = Wish {
        from_day: -90,
        until_day: -3,
        ..Wish::new("globex-reports", Purpose::Client)
    };
    let expired = expired.make(Some(&authority))?;
    write(&folder.join("ca.pem"), &authority.certificate_pem()?)?;
    for (name, made) in [
        ("server", &localhost),
        ("acme", &good),
        ("globex", &expired),
    ] {
        files(folder, name, made)?;
    }
    Ok(())
}

fn files(folder: &Path, name: &str, made: &Made) -> anyhow::Result<()> {
    write(
        &folder.join(format!("{name}.pem")),
        &made.certificate_pem()?,
    )?;
    write(&folder.join(format!("{name}.key")), &made.key_pem()?)
}

fn secret(path: &Path) -> anyhow::Result<()> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    write(path, hex::encode(bytes).as_bytes())
}

fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(contents))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn configuration(gateway: SocketAddr, backend: SocketAddr, telemetry: SocketAddr) -> String {
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

[[route]]
name = "orders"
backend = "orders"
accept = "either"

[telemetry]
address = "{telemetry}"
"#
    )
}
