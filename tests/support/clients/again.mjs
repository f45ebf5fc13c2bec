// Four connections one after the other, each resuming the session of the one before.
// Arguments as of client.mjs; TLS is the one version that is spoken.

import { readFileSync } from "node:fs";
import tls from "node:tls";

const [url, authority, certificate, key, , version] = process.argv.slice(2);
const { hostname, host, port } = new URL(url);
let session;
for (let call = 0; call < 4; call += 1) {
  await new Promise((done, fail) => {
    const link = tls.connect({
      host: hostname,
      port,
      servername: hostname,
      ca: readFileSync(authority),
      cert: readFileSync(certificate),
      key: readFileSync(key),
      minVersion: `TLSv${version}`,
      maxVersion: `TLSv${version}`,
      session,
    });
    let answer = "";
    link.on("session", (next) => (session = next));
    link.on("data", (part) => (answer += part));
    link.on("error", fail);
    link.on("close", () => {
      console.log(answer.split(" ")[1]);
      done();
    });
    link.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  });
}
