// Believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). Express, Connect, plain http; Node 18 or newer.
//
// By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
// parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.
//
//     const secret = Buffer.from(readFileSync("orders.key", "latin1").replace(/\r?\n$/, ""), "latin1");
//     const verifier = new Verifier({ "orders-2026-11": secret });
//     app.use(middleware(verifier));                                  // Express, before everything else
//     createServer((req, res) => middleware(verifier)(req, res, () => application(req, res)));
//
// What it refuses gets 401, and the application is not called. X-Key-Id and X-Client-Id can be believed behind it.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const SKEW = 5, LIFETIME = 60;
const COVERED = ["x-key-id", "x-client-id", "x-key-scopes", "content-digest"];
const OURS = new Set([...COVERED, "signature-input", "signature"]);
const OPTIONAL = new Set(["x-key-scopes", "content-digest"]);
const TEXT = "[ !#-\\[\\]-~]";
const FORM = new RegExp(
  "^gw=(?<parameters>\\((?<components>[^()]*)\\);created=(?<created>0|[1-9][0-9]{0,14});expires=(?<expires>0|[1-9][0-9]{0,14})" +
    `;nonce="(?<nonce>${TEXT}+)";alg="hmac-sha256";keyid="(?<keyid>${TEXT}*)";tag="keyferry")$`,
);

/** Why a request is not believed: a reason of docs/VERIFY.md. */
export class Refused extends Error {
  constructor(reason) {
    super(reason);
    this.status = 401;
  }
}

/** Believes `secrets` (buffers by their key ids; two while one takes the place of the other). Each signature is good
 * once: `remember` of the last minute are kept, for this process alone, and more are refused; 0 keeps none. */
export class Verifier {
  constructor(secrets, { remember = 100_000, clock = () => Date.now() / 1000 } = {}) {
    Object.assign(this, { secrets: new Map(Object.entries(secrets)), remember, clock, seen: new Map() });
  }

  /** The client and its key id. `target` is as it stood on the wire, `rawHeaders` as Node has them. */
  check(method, target, rawHeaders) {
    const values = new Map();
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at].toLowerCase();
      if (!OURS.has(name) && OURS.has(name.replace(/[^a-z0-9]/g, "-"))) throw new Refused("header_disguised");
      values.set(name, [...(values.get(name) ?? []), rawHeaders[at + 1]]);
    }
    if (![...OURS].some((name) => name !== "content-digest" && values.has(name))) throw new Refused("signature_missing");
    for (const name of [...OURS, "host"]) {
      const found = values.get(name)?.length ?? 0;
      if (found > 1 || (found === 0 && !OPTIONAL.has(name))) throw new Refused("signature_header");
    }
    const one = (name) => values.get(name)[0];
    if (!target.startsWith("/")) throw new Refused("request_malformed");

    const form = FORM.exec(one("signature-input"))?.groups;
    const [path] = target.split("?", 1);
    const lines = [
      ["@method", method],
      ["@authority", one("host").toLowerCase().replace(/:(443|80)$/, "")],
      ["@path", path],
      ["@query", target.slice(path.length) || "?"],
      ...COVERED.filter((name) => values.has(name)).map((name) => [name, one(name)]),
    ];
    if (form?.components !== lines.map(([name]) => `"${name}"`).join(" ")) throw new Refused("signature_malformed");
    if (!lines.every(([, value]) => /^[ -~]*$/.test(value))) throw new Refused("signature_malformed");
    const secret = this.secrets.get(form.keyid);
    if (secret === undefined) throw new Refused("signature_key_unknown");
    const base = lines.map(([name, value]) => `"${name}": ${value}\n`).join("") + `"@signature-params": ${form.parameters}`;
    const expected = Buffer.from(`gw=:${createHmac("sha256", secret).update(base).digest("base64")}:`);
    const signature = Buffer.from(one("signature"), "latin1");
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new Refused("signature_mismatch");
    }

    const created = Number(form.created), expires = Number(form.expires), now = Math.floor(this.clock());
    const isNow = created - SKEW <= now && now <= expires + SKEW;
    if (!isNow || expires < created || expires - created > LIFETIME) throw new Refused("signature_not_current");
    if (this.remember > 0) this.#once(form.nonce, expires + SKEW, now);
    return { client: one("x-client-id"), keyId: one("x-key-id") };
  }

  #once(nonce, until, now) {
    for (const [old, end] of this.seen) {
      if (end >= now) break;
      this.seen.delete(old);
    }
    if (this.seen.has(nonce)) throw new Refused("signature_replayed");
    if (this.seen.size >= this.remember) throw new Refused("too_many_signatures");
    this.seen.set(nonce, until);
  }
}

/** For `app.use`, and for plain http with the application as third argument. */
export function middleware(verifier) {
  return (req, res, next) => {
    try {
      req.keyferry = verifier.check(req.method, req.originalUrl ?? req.url, req.rawHeaders);
    } catch (refused) {
      const reason = refused instanceof Refused ? refused.message : "internal_error";
      res.writeHead(401, { "Content-Type": "application/problem+json", "WWW-Authenticate": 'Signature realm="keyferry"' });
      return res.end(JSON.stringify({ title: "Unauthorized", status: 401, reason }));
    }
    next();
  };
}

/** Whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body. */
export function bodyFits(digest, body) {
  const found = [...digest.matchAll(/(?:^|, *)(sha-256|sha-512)=:([A-Za-z0-9+\/=]*):/g)];
  const made = (name) => createHash(name.replace("-", "")).update(body).digest("base64");
  return found.length > 0 && found.every(([, name, text]) => made(name) === text);
}

/** For body parsers of Express: `express.json({ verify: checkBody })`. */
export function checkBody(req, _res, body) {
  const digest = req.headers["content-digest"];
  if (digest !== undefined && !bodyFits(digest, body)) throw new Refused("body_mismatch");
}
