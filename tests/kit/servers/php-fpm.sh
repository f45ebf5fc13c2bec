#!/usr/bin/env bash
# The PHP verifier as most run it: `php-fpm.sh PORT`, PHP-FPM behind nginx with the parameters that Debian gives it.
set -euo pipefail
shopt -s nullglob

here=$(cd "$(dirname "$0")" && pwd)
own=$(mktemp -d)
fpm=(/usr/sbin/php-fpm[0-9]*)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$own"' EXIT
trap 'exit 0' TERM

cat > "$own/fpm.conf" <<FPM
[global]
error_log = /dev/stderr
[www]
listen = $own/fpm.sock
pm = static
pm.max_children = 2
clear_env = no
$(if [ "$(id -u)" -eq 0 ]; then echo "user = root"; fi)
FPM
cat > "$own/nginx.conf" <<NGINX
daemon off;
master_process off;
pid $own/nginx.pid;
error_log stderr error;
events {}
http {
    access_log off;
    client_body_temp_path $own/body;
    fastcgi_temp_path $own/fastcgi;
    proxy_temp_path $own/proxy;
    uwsgi_temp_path $own/uwsgi;
    scgi_temp_path $own/scgi;
    server {
        listen 127.0.0.1:$1;
        location / {
            include /etc/nginx/fastcgi_params;
            # Debian leaves the port out, and it is signed.
            fastcgi_param HTTP_HOST \$http_host;
            fastcgi_param SCRIPT_FILENAME $here/server.php;
            fastcgi_pass unix:$own/fpm.sock;
        }
    }
}
NGINX
"${fpm[0]}" --nodaemonize --allow-to-run-as-root --fpm-config "$own/fpm.conf" &
while [ ! -S "$own/fpm.sock" ]; do sleep 0.05; done
nginx -c "$own/nginx.conf" &
wait
