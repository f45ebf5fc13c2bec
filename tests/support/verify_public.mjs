// Verifies a recorded request with the npm library http-message-signatures, by the keys of a JWK set that it fetches.
// In: {request: {method, target, headers}, set: {url, port, authority}, covered: [names]}. Out: {} or {error}.
// The host of the URL is looked for at 127.0.0.1 and that port.

import { createPublicKey } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import https from "node:https";

const require = createRequire(new URL("../../target/node/", import.meta.url));
const { createVerifier, httpbis } = require("http-message-signatures");

const { request, set, covered } = JSON.parse(readFileSync(0, "utf8"));
const headers = {};
for (const [name, value] of request.headers) (headers[name.toLowerCase()] ??= []).push(value);

const fetched = () =>
  new Promise((resolve, reject) => {
    const { hostname, pathname } = new URL(set.url);
    const options = { host: "127.0.0.1", port: set.port, path: pathname, servername: hostname };
    Object.assign(options, { headers: { host: hostname }, ca: readFileSync(set.authority) });
    const got = (answer) => {
      let body = "";
      answer.on("data", (part) => (body += part)).on("end", () => resolve(JSON.parse(body)));
    };
    https.get(options, got).on("error", reject);
  });

let error = null;
try {
  const { keys } = await fetched();
  const keyLookup = async ({ keyid }) => {
    const jwk = keys.find(({ kid }) => kid === keyid);
    if (!jwk) return null;
    const key = createPublicKey({ key: jwk, format: "jwk" });
    return { id: keyid, algs: ["ed25519"], verify: createVerifier(key, "ed25519") };
  };
  const good = await httpbis.verifyMessage(
    {
      keyLookup,
      all: true,
      tolerance: 5,
      requiredParams: ["created", "expires", "nonce", "alg", "keyid", "tag"],
      requiredFields: covered,
    },
    { method: request.method, url: `http://${headers.host[0]}${request.target}`, headers },
  );
  if (good !== true) error = `the verdict is ${good}`;
} catch (thrown) {
  error = String(thrown);
}
console.log(JSON.stringify(error === null ? {} : { error }));
