//! Metrics, health, logs and traces.

use super::{Builder, Built, text};
use crate::config::file::{self, File};
use crate::config::problem::KeyPath;
use crate::config::settings::{Collector, Telemetry, Tracing};
use crate::trace::{Sampler, Settings};

/// Where a collector on the same machine listens.
const EXAMPLE: &str = "http://127.0.0.1:4318/v1/traces";

impl Builder<'_> {
    pub(super) fn telemetry(&mut self, file: &File) -> Built<Telemetry> {
        let at = KeyPath::top("telemetry");
        let typed = &file.telemetry;
        let address = self.socket(&at.key("address"), &typed.address);
        let public = file.listener.as_ref().and_then(|l| l.address.as_deref());
        if address.is_ok() && public == Some(&typed.address) {
            let wrong = "this is the address of the public listener";
            let write = "use another port, which clients cannot reach";
            self.problem(&at.key("address"), wrong, write);
        }
        let tracing = self.tracing(&at.key("tracing"), typed.tracing.as_ref());
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        // A filter takes a misspelt level for the name of a module, and then logs nothing.
        let named = |part: &str| {
            let level = part.rsplit('=').next().unwrap_or(part);
            levels.contains(&level.trim())
        };
        let reads = tracing_subscriber::EnvFilter::builder()
            .parse(&typed.log)
            .is_ok();
        if !reads || !typed.log.split(',').all(named) {
            let wrong = format!("{:?} is not a level", typed.log);
            let write = r#"use "error", "warn", "info", "debug" or "trace", also by module: "info,keyferry::door=debug""#;
            return Err(self.problem(&at.key("log"), wrong, write));
        }
        Ok(Telemetry {
            address: address?,
            log: typed.log.clone(),
            tracing: tracing?,
        })
    }

    fn tracing(&mut self, at: &KeyPath, typed: Option<&file::Tracing>) -> Built<Tracing> {
        let Some(typed) = typed else {
            return Ok(Tracing::default());
        };
        let sampler = Sampler::new(typed.sample).map_err(|no| {
            let wrong = format!("{} is out of range: {no}", typed.sample);
            self.problem(
                &at.key("sample"),
                wrong,
                "write for instance 0.1 for every tenth",
            )
        });
        let collector = typed
            .collector
            .as_deref()
            .map(|url| self.collector(at, url, typed))
            .transpose();
        let (sampler, collector) = (sampler?, collector?);
        Ok(Tracing {
            requests: Settings {
                believe: typed.believe,
                sampler: collector.is_some().then_some(sampler),
                refusals: typed.refusals,
            },
            collector,
        })
    }

    fn collector(&mut self, at: &KeyPath, url: &str, typed: &file::Tracing) -> Built<Collector> {
        let key = at.key("collector");
        if !cfg!(feature = "otlp") {
            let wrong = "this program was built without what sends spans";
            let write =
                "build it with: cargo build --release --features otlp; or take the collector away";
            return Err(self.problem(&key, wrong, write));
        }
        let parts = url.split_once("://").and_then(|(scheme, rest)| {
            let (address, path) = rest.split_at_checked(rest.find('/')?)?;
            let address = text::address(address)?;
            let is_known = ["http", "https"].contains(&scheme) && text::is_path(path);
            is_known.then(|| (scheme == "https", address, path.to_owned()))
        });
        let Some((is_tls, address, path)) = parts else {
            let wrong = format!("{url:?} is not an http URL with port and path, and nothing else");
            return Err(self.problem(&key, wrong, format!("write for instance {EXAMPLE:?}")));
        };
        let tls = match (&typed.tls, is_tls) {
            (Some(tls), true) => {
                let addresses = Ok(vec![address.clone()]);
                Some(self.backend_tls(&at.key("tls"), tls, &addresses)?)
            }
            (None, true) => {
                let write = "write tls = { ca_file = \"…\" }";
                return Err(self.problem(&key, "needs to be told whom to trust", write));
            }
            (Some(_), false) => {
                let write = "write an https URL, or take tls away";
                return Err(self.problem(&key, "speaks no TLS, and tls is there", write));
            }
            (None, false) => None,
        };
        Ok(Collector {
            address,
            path,
            tls,
            service: typed.service.clone(),
            attributes: typed.attributes.clone(),
        })
    }
}
