//! Real proxies as they stand before backends today: they end the clients' TLS, verify their
//! certificates, and tell a backend of them in headers. nginx, HAProxy, Apache and Envoy.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::curl::Curl;
use super::listening::listening;
use super::process::Process;
use super::world::{HOST, World};

/// Where Debian has Apache's modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    HaProxy,
    Apache,
    Envoy,
}

/// A running proxy; it ends when dropped.
pub(crate) struct OldProxy {
    // Ends before its folder goes.
    _process: Process,
    _folder: TempDir,
    address: SocketAddr,
    authority: std::path::PathBuf,
}

/// Where a proxy has its files, listens and calls.
struct At<'a> {
    folder: &'a Path,
    listen: SocketAddr,
    backend: SocketAddr,
}

impl OldProxy {
    /// One that sends these headers, which its configuration says as they stand here, to a backend in
    /// plain text.
    #[track_caller]
    pub(crate) fn start(
        world: &World,
        kind: Kind,
        headers: &[(&str, &str)],
        backend: SocketAddr,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let server = &world.gateway.issued;
        fs::write(path("clients.pem"), world.clients.pem()).expect("a file in our own folder");
        server.write(folder.path(), "server");
        let both = [server.chain_pem(), server.key_pem()].concat();
        fs::write(path("server.both.pem"), both).expect("a file in our own folder");
        let at = Ipv4Addr::LOCALHOST.into();
        let (process, address) = listening(&format!("{kind:?}"), folder.path(), at, |listen| {
            let at = At {
                folder: folder.path(),
                listen,
                backend,
            };
            kind.command(&at, headers)
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

impl Kind {
    fn command(self, at: &At<'_>, headers: &[(&str, &str)]) -> Command {
        let (program, text) = match self {
            Self::Nginx => ("nginx", nginx(at, headers)),
            Self::HaProxy => ("haproxy", haproxy(at, headers)),
            Self::Apache => ("/usr/sbin/apache2", apache(at, headers)),
            Self::Envoy => ("target/suites/servers/envoy", envoy(at)),
        };
        let file = at.folder.join("proxy.yaml");
        fs::write(&file, text).expect("a file in our own folder");
        let mut command = Command::new(program);
        match self {
            Self::Nginx => command.args(["-e", "stderr", "-c"]).arg(file),
            Self::HaProxy => command.args(["-db", "-f"]).arg(file),
            Self::Apache => command.args(["-X", "-f"]).arg(file),
            Self::Envoy => command
                .args(["--concurrency", "1", "--disable-hot-restart", "-c"])
                .arg(file),
        };
        command
    }
}

fn lines(headers: &[(&str, &str)], line: impl Fn(&str, &str) -> String) -> String {
    headers
        .iter()
        .fold(String::new(), |mut lines, (name, value)| {
            let _ = writeln!(lines, "{}", line(name, value));
            lines
        })
}

fn nginx(at: &At<'_>, headers: &[(&str, &str)]) -> String {
    let folder = at.folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!(" {kind}_temp_path {folder}/{kind};\n"));
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\n access_log off;\n{temporary} server {{\n  listen {listen} ssl;\n  \
         ssl_certificate {folder}/server.pem;\n  ssl_certificate_key {folder}/server.key;\n  \
         ssl_client_certificate {folder}/clients.pem;\n  ssl_verify_client optional;\n  \
         location / {{\n   proxy_pass http://{backend};\n{headers}  }}\n }}\n}}\n",
        temporary = temporary.concat(),
        listen = at.listen,
        backend = at.backend,
        headers = lines(headers, |name, value| format!(
            "   proxy_set_header {name} {value};"
        )),
    )
}

fn haproxy(at: &At<'_>, headers: &[(&str, &str)]) -> String {
    let folder = at.folder.display();
    format!(
        "global\n tune.bufsize 65536\n tune.maxrewrite 32768\ndefaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
         listen old\n bind {listen} ssl crt {folder}/server.both.pem ca-file {folder}/clients.pem \
         verify optional\n{headers} server backend {backend}\n",
        listen = at.listen,
        backend = at.backend,
        headers = lines(headers, |name, value| format!(
            " http-request set-header {name} {value}"
        )),
    )
}

fn apache(at: &At<'_>, headers: &[(&str, &str)]) -> String {
    let folder = at.folder.display();
    let modules = [
        ("mpm_event", "mpm_event"),
        ("authz_core", "authz_core"),
        ("ssl", "ssl"),
        ("headers", "headers"),
        ("proxy", "proxy"),
        ("proxy_http", "proxy_http"),
    ];
    let modules =
        modules.map(|(name, file)| format!("LoadModule {name}_module {MODULES}/mod_{file}.so\n"));
    format!(
        "{modules}ServerRoot {folder}\nServerName {HOST}\nPidFile {folder}/pid\nDefaultRuntimeDir \
         {folder}\nMutex file:{folder}\nErrorLog /dev/stderr\nListen {listen}\n<VirtualHost *:*>\n \
         SSLEngine on\n SSLCertificateFile {folder}/server.pem\n SSLCertificateKeyFile \
         {folder}/server.key\n SSLCACertificateFile {folder}/clients.pem\n SSLVerifyClient \
         optional\n ProxyPass / http://{backend}/\n{headers}</VirtualHost>\n",
        modules = modules.concat(),
        listen = at.listen,
        backend = at.backend,
        headers = lines(headers, |name, value| format!(
            " RequestHeader set {name} \"{value}\""
        )),
    )
}

/// It tells all that it can in the one header that it has.
fn envoy(at: &At<'_>) -> String {
    let folder = at.folder.display();
    let file = |name: &str| format!("{{filename: {folder}/{name}}}");
    let typed = |kind: &str| format!("\"@type\": type.googleapis.com/envoy.extensions.{kind}");
    let address = |of: SocketAddr| {
        format!(
            "{{socket_address: {{address: {}, port_value: {}}}}}",
            of.ip(),
            of.port()
        )
    };
    let down = format!(
        "{{{}, common_tls_context: {{tls_certificates: [{{certificate_chain: {}, private_key: {}}}], \
         validation_context: {{trusted_ca: {}}}}}}}",
        typed("transport_sockets.tls.v3.DownstreamTlsContext"),
        file("server.pem"),
        file("server.key"),
        file("clients.pem"),
    );
    let router = format!("{{{}}}", typed("filters.http.router.v3.Router"));
    let manager = format!(
        "{{{}, stat_prefix: old, forward_client_cert_details: SANITIZE_SET, \
         set_current_client_cert_details: {{cert: true, subject: true, uri: true, dns: true}}, \
         http_filters: [{{name: router, typed_config: {router}}}], route_config: {{virtual_hosts: \
         [{{name: all, domains: [\"*\"], routes: [{{match: {{prefix: /}}, route: {{cluster: \
         backend}}}}]}}]}}}}",
        typed("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    );
    format!(
        "static_resources:\n listeners:\n - address: {}\n   filter_chains:\n   - filters: [{{name: http, \
         typed_config: {manager}}}]\n     transport_socket: {{name: tls, typed_config: {down}}}\n \
         clusters:\n - name: backend\n   load_assignment: {{cluster_name: backend, endpoints: \
         [{{lb_endpoints: [{{endpoint: {{address: {}}}}}]}}]}}\n",
        address(at.listen),
        address(at.backend),
    )
}
