//! Receivers of webhooks that are not ours, and gateways that tell them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::curl::Curl;
use super::gateway::{Builder, Gateway};
use super::pki::server;
use super::python::Server;
use super::wait_for;
use super::world::World;

/// What the receiver knows.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
/// Another one.
pub(crate) const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazpMzZfvvhM=";

/// A receiver in a process of its own.
pub(crate) struct Receiver {
    server: Server,
    /// The authority of its certificate, when it speaks TLS.
    authority: Option<PathBuf>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::knowing(&[SECRET])
    }

    /// One with several secrets.
    pub(crate) fn knowing(secrets: &[&str]) -> Self {
        let secrets: Vec<_> = secrets.iter().map(Path::new).collect();
        Self {
            server: Server::start_with("webhook_receiver.py", &secrets),
            authority: None,
        }
    }

    /// One that speaks TLS, as `localhost`.
    pub(crate) fn with_tls(world: &World) -> Self {
        let own = world.files(server("localhost").signed_by(&world.servers));
        let arguments = [Path::new(SECRET), &own.chain, &own.key];
        Self {
            server: Server::start_with("webhook_receiver.py", &arguments),
            authority: Some(world.authority.clone()),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn curl(&self, path: &str) -> Curl {
        let port = self.address().port();
        match &self.authority {
            None => Curl::get(&format!("http://127.0.0.1:{port}{path}")),
            Some(file) => Curl::get(&format!("https://localhost:{port}{path}")).authority(file),
        }
    }

    /// Answers otherwise from now on.
    pub(crate) fn set(&self, mode: &Value) {
        let put = self.curl("/mode").method("PUT");
        put.body(mode.to_string()).send().expect_status(200);
    }

    /// Everything that came, whatever was answered.
    pub(crate) fn all(&self) -> Vec<Message> {
        let all = self.curl("/messages").send().expect_status(200);
        let all = all.json().as_array().unwrap().clone();
        all.into_iter().map(Message).collect()
    }

    /// Everything of this type.
    pub(crate) fn of(&self, kind: &str) -> Vec<Message> {
        let mut all = self.all();
        all.retain(|message| message.kind() == kind);
        all
    }

    /// What was taken of this type, once there is so much.
    #[track_caller]
    pub(crate) fn taken(&self, kind: &str, number: usize) -> Vec<Message> {
        wait_for(&format!("{number} messages of {kind}"), || {
            let mut of = self.of(kind);
            of.retain(|message| message.0["status"] == 200);
            (of.len() >= number).then_some(of)
        })
    }
}

/// A message that came.
#[derive(Clone, Debug)]
pub(crate) struct Message(pub(crate) Value);

impl Message {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.0["headers"][name].as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    pub(crate) fn text(&self) -> &str {
        self.0["body"].as_str().unwrap()
    }

    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.body()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn data(&self) -> Value {
        self.body()["data"].clone()
    }

    /// Whether the library believes it, by each secret of the receiver.
    pub(crate) fn believed(&self) -> Vec<bool> {
        let believed = self.0["believed"].as_array().unwrap();
        believed.iter().map(|one| one == true).collect()
    }
}

impl Builder<'_> {
    /// Tells whoever is there.
    pub(crate) fn telling(self, address: SocketAddr) -> Self {
        self.telling_like("hook", address, toml::Table::new())
    }

    /// The same with this name and further settings.
    pub(crate) fn telling_like(
        self,
        name: &str,
        address: SocketAddr,
        mut further: toml::Table,
    ) -> Self {
        for (setting, value) in [
            ("name", name.to_owned()),
            (
                "url",
                format!("http://{address}/hook?token=canary-of-the-url"),
            ),
            ("secret_file", "hook.whsec".to_owned()),
        ] {
            further.entry(setting).or_insert_with(|| value.into());
        }
        self.file("hook.whsec", format!("{SECRET}\n"))
            .push("webhook", further)
    }

    /// Starts it, and waits until it tells every webhook.
    #[track_caller]
    pub(crate) fn start_telling(self) -> Gateway {
        let gateway = self.start();
        gateway.wait_until_it_tells();
        gateway
    }
}

impl Gateway {
    /// What `keyferry webhook list` says of each.
    fn webhooks(&self) -> Vec<Value> {
        let told = self.cli(&["webhook", "list", "--output", "json"]);
        let told = told.expect_success().json();
        told["webhooks"].as_array().unwrap().clone()
    }

    /// What it says of the first.
    pub(crate) fn webhook(&self) -> Value {
        self.webhooks().remove(0)
    }

    /// Waits until it tells every webhook.
    #[track_caller]
    pub(crate) fn wait_until_it_tells(&self) {
        wait_for("a gateway that tells", || {
            let webhooks = self.webhooks();
            let are_told = webhooks.iter().all(|one| one["is_told"] == json!(true));
            are_told.then_some(())
        });
    }
}
