// A real gateway on the embedded store, with tokens for the console and clients to look at, some of them hostile.
import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const PROGRAM = resolve(process.env.KEYFERRY_PROGRAM ?? "target/debug/keyferry");

/** A port that nobody listens at. */
function port() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** What `keyferry` prints with these arguments. */
export function keyferry(folder, ...args) {
  return execFileSync(PROGRAM, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

export class Gateway {
  static async start() {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync(join(tmpdir(), "keyferry-console-"));
    const run = (...args) => keyferry(gateway.folder, ...args);
    run("init", "--dev-ca", "--backend", "http://127.0.0.1:9");
    const config = join(gateway.folder, "keyferry.toml");
    let text = readFileSync(config, "utf8");
    for (const name of ["8443", "9090", "9443"]) {
      const own = await port();
      text = text.replaceAll(`:${name}"`, `:${own}"`);
      gateway[`at${name}`] = own;
    }
    text = text.replace('mode = "auto"', 'mode = "approve"');
    gateway.tokens = {};
    gateway.lines = {};
    for (const role of ["viewer", "operator", "admin"]) {
      const made = JSON.parse(run("--output", "json", "token", role, "--role", role));
      gateway.tokens[role] = made.token;
      gateway.lines[role] = `{ name = "${role}", role = "${role}", sha256 = "${made.sha256}" }`;
    }
    gateway.before = text;
    gateway.config = config;
    gateway.allow(["viewer", "operator", "admin"]);
    gateway.process = spawn(PROGRAM, ["run"], { cwd: gateway.folder, stdio: ["ignore", "pipe", "pipe"] });
    gateway.log = "";
    for (const stream of [gateway.process.stdout, gateway.process.stderr]) {
      stream.on("data", (text) => { gateway.log += text; });
    }
    gateway.url = `http://127.0.0.1:${gateway.at9443}`;
    await gateway.until(async () => (await fetch(`http://127.0.0.1:${gateway.at9090}/readyz`)).ok);
    return gateway;
  }

  /** Writes the configuration with the tokens of these roles. */
  allow(roles) {
    const tokens = roles.map((role) => this.lines[role]).join(", ");
    writeFileSync(this.config, this.before.replace(/(\[admin\]\n)/, `$1tokens = [${tokens}]\n`));
  }

  /** Waits until `holds` does. */
  async until(holds, seconds = 60) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      if (await Promise.resolve().then(holds).catch(() => false)) return;
      if (Date.now() > end) throw new Error(`not in ${seconds} s; the gateway's log:\n${this.log}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** What the API answers to a change. */
  async post(name, body) {
    const answer = await fetch(`${this.url}/v1/${name}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.tokens.admin}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const document = await answer.json();
    if (!answer.ok) throw new Error(`${name}: ${JSON.stringify(document)}`);
    return document;
  }

  /** What the API answers to a question. */
  async get(path) {
    const headers = { authorization: `Bearer ${this.tokens.admin}` };
    const answer = await fetch(`${this.url}/v1/${path}`, { headers });
    return answer.json();
  }

  /** A certificate of the development authority for this subject, valid for so many days; its PEM. */
  certificate(name, subject, days = 20) {
    const file = (ending) => join(this.folder, `${name}.${ending}`);
    mkdirSync(this.folder, { recursive: true });
    const ssl = (...args) => execFileSync("openssl", args, { cwd: this.folder, stdio: "ignore" });
    ssl("req", "-utf8", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file("key"),
      "-out", file("csr"), "-subj", subject);
    appendFileSync(file("ext"), "extendedKeyUsage=clientAuth\n");
    ssl("x509", "-req", "-in", file("csr"), "-CA", "clients-ca.pem", "-CAkey", "clients-ca.key", "-CAcreateserial",
      "-days", String(days), "-extfile", file("ext"), "-out", file("pem"));
    return readFileSync(file("pem"), "utf8");
  }

  /** Calls the gateway with the certificate `name`. */
  call(name) {
    const url = `https://localhost:${this.at8443}/`;
    const args = ["-sk", "--cert", `${name}.pem`, "--key", `${name}.key`, url];
    return execFileSync("curl", args, { cwd: this.folder, encoding: "utf8" });
  }

  async stop() {
    this.process.kill("SIGKILL");
    await new Promise((done) => this.process.once("exit", done));
  }
}
