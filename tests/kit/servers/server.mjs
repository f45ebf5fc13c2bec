// The Node verifier before an application that says whom it sees: `node server.mjs PORT express|http`. SECRETS is a folder
// of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many signatures are kept; NODE,
// where Express is.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readdirSync, readFileSync } from "node:fs";
import { Verifier, bodyFits, checkBody, middleware } from "../../../examples/verify/keyferry-verify.mjs";

const [port, kind] = process.argv.slice(2);
const folder = process.env.SECRETS;
const secretOf = (name) => {
  const bytes = readFileSync(`${folder}/${name}`);
  return bytes.at(-1) === 10 ? bytes.subarray(0, -1) : bytes;
};
const secrets = Object.fromEntries(readdirSync(folder).map((name) => [name, secretOf(name)]));
const { NOW, REMEMBER } = process.env;
const clock = NOW ? () => Number(readFileSync(NOW)) : undefined;
const remember = REMEMBER ? Number(REMEMBER) : undefined;
const guard = middleware(new Verifier(secrets, { clock, remember }));

function echo(req, res) {
  res.setHeader("Echo-Client", req.headers["x-client-id"]);
  res.setHeader("Echo-Key-Id", req.headers["x-key-id"]);
  res.setHeader("Echo-Scopes", req.headers["x-key-scopes"] ?? "");
  res.end("ok");
}

if (kind === "express") {
  const express = createRequire(`${process.env.NODE}/`)("express");
  const app = express();
  app.use(guard);
  app.use(express.raw({ type: () => true, verify: checkBody }));
  // A request without a body is not shown to `verify`.
  app.use((req, res, next) => {
    if (req.body === undefined) checkBody(req, res, Buffer.alloc(0));
    next();
  });
  app.use(echo);
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).end(error.message));
  app.listen(Number(port), "127.0.0.1");
} else {
  const application = async (req, res) => {
    const body = Buffer.concat(await req.toArray());
    const digest = req.headers["content-digest"];
    if (digest !== undefined && !bodyFits(digest, body)) return res.writeHead(401).end("body_mismatch");
    echo(req, res);
  };
  createServer((req, res) => guard(req, res, () => application(req, res))).listen(Number(port), "127.0.0.1");
}
