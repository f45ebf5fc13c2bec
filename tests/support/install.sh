#!/usr/bin/env bash
# Installs what the machine lacks: with apt-get when run as root, otherwise it names the line to run.
# Usage: install.sh build|boring|demo|test|console|kit|bench|callgrind ...
set -euo pipefail

missing=()
lacks() { # lacks PACKAGE COMMAND...: wants PACKAGE when the command fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

for part in "$@"; do
  case $part in
  build)
    # OpenSSL is compiled from source (cc, perl), zlib-ng too (cmake).
    lacks build-essential cc --version
    lacks cmake cmake --version
    lacks perl perl -MFindBin -MIPC::Cmd -MFile::Compare -MTime::Piece -e 1
    ;;
  boring)
    # BoringSSL is compiled from source (c++, cmake); what binds it to Rust reads its headers (libclang, its headers).
    lacks build-essential c++ --version
    lacks cmake cmake --version
    lacks libclang-dev sh -c 'ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/clang/*/include/stddef.h'
    ;;
  demo)
    lacks curl curl --version
    ;;
  test)
    lacks curl curl --version
    lacks openssl openssl version
    lacks haproxy haproxy -v
    lacks nginx nginx -v
    lacks apache2-bin test -x /usr/sbin/apache2
    lacks redis-server redis-server --version
    lacks faketime faketime --version
    lacks prometheus promtool --version
    lacks python3 python3 --version
    lacks python3-venv python3 -c 'import ensurepip, venv'
    lacks nodejs node --version
    lacks npm npm --version
    lacks default-jdk-headless javac --version
    ;;
  console)
    # The browser that looks at the console.
    lacks chromium chromium --version
    lacks openssl openssl version
    lacks curl curl --version
    ;;
  kit)
    # The languages of the verifiers in examples/verify, with the servers that people run there: 115 MB to fetch.
    lacks golang-go go version
    lacks php-cli php --version
    lacks php-fpm compgen -G '/usr/sbin/php-fpm[0-9]*'
    lacks php-apcu php -r 'exit((int) !extension_loaded("apcu"));'
    lacks nginx nginx -v
    lacks puma puma --version
    lacks ruby-rack ruby -rrack -e 1
    lacks mono-mcs mcs --version
    lacks libtomcat10-java test -e /usr/share/java/tomcat10-catalina.jar
    ;;
  bench)
    # The peers of the comparison, its backend, and what makes load over HTTP/2.
    lacks haproxy haproxy -v
    lacks nginx nginx -v
    lacks libnginx-mod-http-lua test -e /usr/lib/nginx/modules/ngx_http_lua_module.so
    lacks nghttp2-client h2load --version
    lacks python3 python3 --version
    ;;
  callgrind)
    lacks valgrind callgrind_control --version
    ;;
  *)
    echo "install.sh: unknown part $part; use build, boring, demo, test, kit, bench or callgrind" >&2
    exit 64
    ;;
  esac
done

[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "missing: ${missing[*]}; install with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 69
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}"
