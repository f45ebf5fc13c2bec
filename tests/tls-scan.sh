#!/usr/bin/env bash
# Scans a listener with default settings with testssl.sh and sslyze, and prints what is not in order.
# docs/TLS.md has the findings and what each is about. Needs testssl.sh (apt-get install testssl.sh);
# sslyze it installs beside the other tools of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
scan=target/tls-scan
sslyze=target/scan-venv
rm -rf "$scan" && mkdir -p "$scan"
command -v testssl >/dev/null || { echo "testssl is missing; run: apt-get install testssl.sh" >&2; exit 69; }
if [ ! -x "$sslyze/bin/sslyze" ]; then
    python3 -m venv "$sslyze"
    "$sslyze/bin/pip" install --quiet --disable-pip-version-check sslyze==6.3.1
fi

pushd "$scan" >/dev/null
authority() { # NAME: an authority of its own
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.pem" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}
authority servers
authority clients
key=(ec -pkeyopt ec_paramgen_curve:P-256)
[ -z "${KEY:-}" ] || key=("$KEY")
openssl req -newkey "${key[@]}" -nodes -subj /CN=localhost -keyout server.key -out server.csr 2>/dev/null
openssl x509 -req -in server.csr -CA servers.pem -CAkey servers.key -days 90 -out server.pem 2>/dev/null -extfile <(
    printf '%s\n' subjectAltName=DNS:localhost extendedKeyUsage=serverAuth keyUsage=critical,digitalSignature \
        basicConstraints=critical,CA:false authorityKeyIdentifier=keyid subjectKeyIdentifier=hash)
openssl rand -hex 32 >pepper.key
chmod 600 ./*.key
cat >keyferry.toml <<'CONFIG'
[listener]
address = "127.0.0.1:18443"
client_certificates = "optional"
[[listener.certificate]]
certificate_file = "server.pem"
key_file = "server.key"
[[ca]]
name = "clients"
file = "clients.pem"
[enrolment]
mode = "auto"
[[key.pepper]]
version = 1
file = "pepper.key"
[store]
kind = "embedded"
path = "keyferry.redb"
[[backend]]
name = "nowhere"
addresses = ["127.0.0.1:18080"]
protocol = "http1"
[[route]]
name = "open"
backend = "nowhere"
accept = "none"
[telemetry]
address = "127.0.0.1:19090"
CONFIG
mkdir backend
python3 -m http.server --bind 127.0.0.1 --directory backend 18080 >/dev/null 2>&1 &
backend=$!
../debug/keyferry run -c keyferry.toml >log 2>&1 &
gateway=$!
trap 'kill "$gateway" "$backend"' EXIT
curl --silent --fail --retry 50 --retry-connrefused --retry-delay 1 http://127.0.0.1:19090/readyz >/dev/null

echo "testssl.sh $(dpkg-query --show --showformat '${Version}' testssl.sh 2>/dev/null || true):"
testssl --quiet --color 0 --warnings off --ip one --add-ca servers.pem --jsonfile testssl.json https://localhost:18443 >testssl.txt || true
python3 - testssl.json <<'PY'
import json, sys
for found in json.load(open(sys.argv[1])):
    if found["severity"] not in ("OK", "INFO"):
        print(f'  {found["severity"]:8} {found["id"]}: {found["finding"]}')
PY
echo "sslyze $("../../$sslyze/bin/pip" show sslyze 2>/dev/null | sed -n 's/Version: //p'), against Mozilla's intermediate profile:"
"../../$sslyze/bin/sslyze" --certinfo_ca_file servers.pem --mozilla_config intermediate localhost:18443 >sslyze.txt || true
sed -n '/COMPLIANCE AGAINST/,$p' sslyze.txt
echo "all of it: $scan/testssl.txt and $scan/sslyze.txt"
