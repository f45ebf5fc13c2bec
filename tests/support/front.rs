//! Real proxies in front of a gateway that end the clients' TLS and forward their certificates: nginx,
//! HAProxy and Envoy. Each calls the gateway from 127.0.0.1, over few connections, which its clients
//! share, and shows its own certificate there.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use tempfile::TempDir;

use super::curl::Curl;
use super::gateway::Gateway;
use super::listening::listening;
use super::process::Process;
use super::world::{HOST, Identity, World};

/// Which proxy, and how it is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// nginx, with these lines more in its location.
    Nginx(&'static str),
    /// HAProxy, with these lines more.
    HaProxy(&'static str),
    /// Envoy, which does this with what its clients send of the header: `SANITIZE_SET`.
    Envoy(&'static str),
}

/// A running proxy; it ends when dropped.
pub(crate) struct Front {
    // Ends before its folder goes.
    _process: Process,
    _folder: TempDir,
    address: SocketAddr,
    authority: PathBuf,
}

impl Front {
    /// One that shows `own` to the gateway.
    #[track_caller]
    pub(crate) fn start(world: &World, kind: Kind, own: &Identity, gateway: &Gateway) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let server = &world.gateway;
        fs::write(path("clients.pem"), world.clients.pem()).expect("a file in our own folder");
        for (name, identity) in [("server", server), ("own", own)] {
            let both = [identity.issued.chain_pem(), identity.issued.key_pem()].concat();
            fs::write(path(&format!("{name}.both.pem")), both).expect("a file");
            identity.issued.write(folder.path(), name);
        }
        fs::copy(&world.authority, path("servers.pem")).expect("a file");
        let at = Ipv4Addr::LOCALHOST.into();
        let (process, address) = listening(&format!("{kind:?}"), folder.path(), at, |listen| {
            kind.command(At {
                folder: folder.path(),
                listen,
                gateway: gateway.address(),
            })
        });
        Self {
            _process: process,
            _folder: folder,
            address,
            authority: world.authority.clone(),
        }
    }

    /// A request for `path` of [`HOST`] through it.
    pub(crate) fn curl(&self, path: &str) -> Curl {
        Curl::get(&format!("https://{HOST}:{}{path}", self.address.port()))
            .resolve(HOST, self.address)
            .authority(&self.authority)
    }
}

/// Where a proxy has its files, listens and calls.
#[derive(Clone, Copy)]
struct At<'a> {
    folder: &'a Path,
    listen: SocketAddr,
    gateway: SocketAddr,
}

impl Kind {
    fn command(self, at: At<'_>) -> Command {
        let (name, text) = match self {
            Self::Nginx(more) => ("nginx", nginx(at, more)),
            Self::HaProxy(more) => ("haproxy", haproxy(at, more)),
            Self::Envoy(mode) => ("envoy", envoy(at, mode)),
        };
        let file = at.folder.join(format!("{name}.yaml"));
        fs::write(&file, text).expect("a file in our own folder");
        let program = match self {
            Self::Envoy(_) => "target/suites/servers/envoy",
            Self::Nginx(_) | Self::HaProxy(_) => name,
        };
        let mut command = Command::new(program);
        match self {
            Self::Nginx(_) => command.arg("-e").arg("stderr").arg("-c").arg(file),
            Self::HaProxy(_) => command.arg("-db").arg("-f").arg(file),
            Self::Envoy(_) => command
                .args(["--concurrency", "1", "--disable-hot-restart", "-c"])
                .arg(file),
        };
        command
    }
}

fn nginx(at: At<'_>, more: &str) -> String {
    let folder = at.folder.display();
    let mut temporary = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(temporary, " {kind}_temp_path {folder}/{kind};");
    }
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\n access_log off;\n{temporary} upstream gateway {{ server {gateway}; keepalive 1; }}\n \
         server {{\n  listen {listen} ssl http2;\n  ssl_certificate {folder}/server.pem;\n  \
         ssl_certificate_key {folder}/server.key;\n  ssl_client_certificate {folder}/clients.pem;\n  \
         ssl_verify_client optional_no_ca;\n  underscores_in_headers on;\n  location / {{\n   \
         proxy_pass https://gateway;\n   proxy_http_version 1.1;\n   proxy_set_header Connection \"\";\n   \
         proxy_set_header Host {HOST};\n   \
         proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;\n   \
         proxy_ssl_certificate {folder}/own.pem;\n   proxy_ssl_certificate_key {folder}/own.key;\n   \
         proxy_ssl_trusted_certificate {folder}/servers.pem;\n   proxy_ssl_verify on;\n   \
         proxy_ssl_name {HOST};\n   proxy_ssl_server_name on;\n{more}\n  }}\n }}\n}}\n",
        listen = at.listen,
        gateway = at.gateway,
    )
}

fn haproxy(at: At<'_>, more: &str) -> String {
    let folder = at.folder.display();
    format!(
        "defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n \
         http-reuse always\nlisten front\n bind {listen} ssl crt {folder}/server.both.pem ca-file \
         {folder}/clients.pem verify optional ca-ignore-err all crt-ignore-err all alpn h2,http/1.1\n \
         http-request del-header Client-Cert\n http-request del-header Client-Cert-Chain\n \
         http-request set-header Client-Cert :%[ssl_c_der,base64]: if {{ ssl_c_used }}\n \
         http-request set-header Host {HOST}\n{more}\n server gateway {gateway} ssl verify required \
         ca-file {folder}/servers.pem sni str({HOST}) crt {folder}/own.both.pem alpn h2\n",
        listen = at.listen,
        gateway = at.gateway,
    )
}

fn envoy(at: At<'_>, mode: &str) -> String {
    let folder = at.folder.display();
    let file = |name: &str| format!("{{filename: {folder}/{name}}}");
    let pair = |name: &str| {
        let (chain, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        format!("tls_certificates: [{{certificate_chain: {chain}, private_key: {key}}}]")
    };
    let typed = |kind: &str| format!("\"@type\": type.googleapis.com/envoy.extensions.{kind}");
    let address = |of: SocketAddr| {
        format!(
            "{{socket_address: {{address: {}, port_value: {}}}}}",
            of.ip(),
            of.port()
        )
    };
    let down = format!(
        "{{{}, common_tls_context: {{{}, validation_context: {{trusted_ca: {}, \
         trust_chain_verification: ACCEPT_UNTRUSTED}}}}}}",
        typed("transport_sockets.tls.v3.DownstreamTlsContext"),
        pair("server"),
        file("clients.pem"),
    );
    let up = format!(
        "{{{}, sni: {HOST}, common_tls_context: {{{}, validation_context: {{trusted_ca: {}}}}}}}",
        typed("transport_sockets.tls.v3.UpstreamTlsContext"),
        pair("own"),
        file("servers.pem"),
    );
    let router = format!("{{{}}}", typed("filters.http.router.v3.Router"));
    let manager = format!(
        "{{{}, stat_prefix: front, forward_client_cert_details: {mode}, \
         set_current_client_cert_details: {{cert: true, chain: true, subject: true, uri: true}}, \
         http_filters: [{{name: router, typed_config: {router}}}], route_config: {{virtual_hosts: \
         [{{name: all, domains: [\"*\"], routes: [{{match: {{prefix: /}}, route: {{cluster: gateway, \
         host_rewrite_literal: {HOST}}}}}]}}]}}}}",
        typed("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    );
    format!(
        "static_resources:\n listeners:\n - address: {}\n   filter_chains:\n   - filters: [{{name: http, \
         typed_config: {manager}}}]\n     transport_socket: {{name: tls, typed_config: {down}}}\n \
         clusters:\n - name: gateway\n   load_assignment: {{cluster_name: gateway, endpoints: \
         [{{lb_endpoints: [{{endpoint: {{address: {}}}}}]}}]}}\n   transport_socket: {{name: tls, \
         typed_config: {up}}}\n",
        address(at.listen),
        address(at.gateway),
    )
}

/// The header by which a front shows that it has a secret: over the time, the method, the host, the target
/// and the certificate.
pub(crate) fn signature(secret: &str, over: &[&str; 5]) -> String {
    let text = format!("front.v1\n{}\n\n", over.join("\n"));
    let key = PKey::hmac(secret.as_bytes()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
    let mac = signer.sign_oneshot_to_vec(text.as_bytes());
    let mac = hex::encode(mac.expect("a signature"));
    format!("X-Front-Signature: {} {mac}", over[0])
}
