// Verifies a recorded request with the npm library http-message-signatures.
// In: {request: {method, target, headers}, secret_hex, covered: [names]}. Out: {} or {error}.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(new URL("../../target/node/", import.meta.url));
const { createVerifier, httpbis } = require("http-message-signatures");

const { request, secret_hex, covered } = JSON.parse(readFileSync(0, "utf8"));
const headers = {};
for (const [name, value] of request.headers) (headers[name.toLowerCase()] ??= []).push(value);

const keyLookup = async () => ({
  algs: ["hmac-sha256"],
  verify: createVerifier(Buffer.from(secret_hex, "hex"), "hmac-sha256"),
});
let error = null;
try {
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
