#!/usr/bin/env bash
# Prints the secrets of this overlay, made anew each time, for kubectl apply -f -
# Puts ca.pem, client.pem and client.key into the current folder: a client's certificate to call with.
# Needs kubectl and openssl; asks no cluster.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

authority() { # authority NAME
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$1 for development" \
    -keyout "$folder/$1.key" -out "$folder/$1.pem" 2>/dev/null
}
issue() { # issue NAME AUTHORITY SUBJECT EXTENSIONS
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" \
    -keyout "$folder/$1.key" -out "$folder/$1.csr" 2>/dev/null
  openssl x509 -req -in "$folder/$1.csr" -CA "$folder/$2.pem" -CAkey "$folder/$2.key" -days 365 \
    -extfile <(printf '%b' "$4") -out "$folder/$1.pem" 2>/dev/null
}
manifest() { # what kubectl create takes
  echo ---
  kubectl create "$@" --namespace keyferry --dry-run=client --output yaml
}

authority servers
authority clients
issue server servers api.example.com 'subjectAltName=DNS:api.example.com,DNS:localhost\nextendedKeyUsage=serverAuth\n'
issue client clients alice 'extendedKeyUsage=clientAuth\n'
for secret in pepper-1.key record-1.key orders.key redis.password; do
  openssl rand -hex 32 >"$folder/$secret"
done

manifest secret tls keyferry-tls --cert "$folder/server.pem" --key "$folder/server.key"
manifest configmap keyferry-ca --from-file "$folder/clients.pem"
manifest secret generic keyferry-secrets --from-file "$folder/pepper-1.key" --from-file "$folder/record-1.key" \
  --from-file "$folder/orders.key" --from-file "$folder/redis.password"
cp "$folder/servers.pem" ca.pem
cp "$folder/client.pem" "$folder/client.key" .
