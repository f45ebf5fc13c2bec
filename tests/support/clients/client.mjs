// A client in Node, as one would write it: what goes wrong is an error that nobody catches.
// Arguments: URL AUTHORITY CERTIFICATE KEY (PKCS12) TLS CIPHERS; what is empty is left out.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const [url, authority, certificate, key, , tls, ciphers] = process.argv.slice(2);
const options = {};
if (authority) options.ca = readFileSync(authority);
if (certificate) Object.assign(options, { cert: readFileSync(certificate), key: readFileSync(key) });
if (tls) Object.assign(options, { minVersion: "TLSv1", maxVersion: `TLSv${tls}` });
if (ciphers) options.ciphers = ciphers;
const { get } = url.startsWith("https:") ? https : http;
get(url, options, (answer) => {
  console.log(answer.statusCode);
  answer.pipe(process.stdout);
});
