// Verifies a recorded request with the npm library http-message-signatures.
// In: {request: {method, target, headers}, covered: [names]}, and either secret_hex or set: {url, port, authority}, whose
// keys are fetched; the host of the URL is looked for at 127.0.0.1 and that port. Out: {} or {error}.

import { createPublicKey } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import https from "node:https";

const require = createRequire(new URL("../../target/node/", import.meta.url));
const { createVerifier, httpbis } = require("http-message-signatures");

const { request, secret_hex, set, covered } = JSON.parse(readFileSync(0, "utf8"));
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

const shared = () => async () => ({
  algs: ["hmac-sha256"],
  verify: createVerifier(Buffer.from(secret_hex, "hex"), "hmac-sha256"),
});

const published = ({ keys }) => async ({ keyid }) => {
  const jwk = keys.find(({ kid }) => kid === keyid);
  if (!jwk) return null;
  const key = createPublicKey({ key: jwk, format: "jwk" });
  return { id: keyid, algs: ["ed25519"], verify: createVerifier(key, "ed25519") };
};

let error = null;
try {
  const keyLookup = set ? published(await fetched()) : shared();
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
