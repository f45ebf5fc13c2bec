// Every page and every action of the console in a real Chromium, with scripts and without: node tests/console/browse.mjs
// [FOLDER FOR PICTURES]. What fails is told, and the run ends with 1.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Gateway, keyferry } from "./gateway.mjs";

const require = createRequire(`${process.cwd()}/${process.env.CONSOLE_NODE ?? "target/node"}/`);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = process.argv[2] ?? "target/console";
const PAGES = ["/", "/clients", "/clients/acme", "/failures", "/expiring", "/phases", "/audit", "/health", "/doctor", "/try"];
const HOSTILE = "<script>window.harmed=1</script>\"'><img src=x onerror=window.harmed=1>";

mkdirSync(PICTURES, { recursive: true });
const gateway = await Gateway.start();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
let failed = 0;

/** A browser of its own, logged in with the token of `role`; what its pages complain about fails the test. */
async function visit(role, options = {}) {
  const context = await browser.newContext({ baseURL: gateway.url, viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("dialog", async (dialog) => { page.complaints.push(`dialog ${dialog.message()}`); await dialog.dismiss(); });
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) page.complaints.push(message.text());
  });
  if (role) {
    await page.goto("/login");
    await page.fill("#token", gateway.tokens[role]);
    await page.click("text=Log in");
    await page.waitForURL("**/");
  }
  return page;
}

async function test(name, work) {
  const begun = Date.now();
  try {
    await work();
    console.log(`ok    ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}

/** The main part of the page as text. */
const said = (page) => page.locator("main").innerText();

/** What axe finds that is serious. */
async function unusable(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => globalThis.axe.run());
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
}

/** Types the word that a page of confirmation asks for, and sends it. */
async function confirm(page, word = null) {
  await page.locator("h1", { hasText: "Are you sure?" }).waitFor();
  await page.fill("#word", word ?? (await page.locator("label[for=word] code").innerText()));
  await page.click("button:has-text('Do it')");
}

await gateway.post("client/add", { ids: ["acme", "billing-2", "edi-lyon"], tag: ["mobile"], description: HOSTILE });
await gateway.post("client/add", { ids: Array.from({ length: 150 }, (_, n) => `fleet-${n}`) });
const own = gateway.certificate("acme", "/O=Acme/CN=acme");
await gateway.post("certificate/add", { client: "acme", certificates: [own] });
const evil = gateway.certificate("evil", `/O=${"x".repeat(60)}/CN=<script>window.harmed=1<\\/script>`);
await gateway.post("certificate/add", { client: "billing-2", certificates: [evil] });
const turned = gateway.certificate("turned", "/CN=evil\u202egnp.exe", 2);
await gateway.post("certificate/add", { client: "edi-lyon", certificates: [turned] });
gateway.certificate("stranger", "/O=Elsewhere/CN=stranger-7");
gateway.call("stranger");
gateway.call("acme");

await test("nobody sees a page without a token, and a wrong one is told", async () => {
  const page = await visit(null);
  for (const path of PAGES) {
    await page.goto(path);
    assert.match(page.url(), /\/login\?next=/, path);
  }
  await page.screenshot({ path: join(PICTURES, "login.png") });
  await page.fill("#token", "kf_admin_wrong");
  await page.click("text=Log in");
  assert.match(await said(page), /not known here/);
  assert.deepEqual(await unusable(page), []);
  const cookies = await page.context().cookies();
  assert.deepEqual(cookies, []);
  await page.goto("/login?next=//attacker.example/");
  await page.fill("#token", gateway.tokens.viewer);
  await page.click("text=Log in");
  await page.waitForURL("**/");
  assert.ok(page.url().startsWith(gateway.url), page.url());
  const [cookie] = await page.context().cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
});

for (const colorScheme of ["light", "dark"]) {
  await test(`every page can be used by everybody, in ${colorScheme}`, async () => {
    const page = await visit("admin", { colorScheme });
    for (const path of PAGES) {
      await page.goto(path);
      await page.screenshot({ path: join(PICTURES, `${path.replaceAll("/", "_")}-${colorScheme}.png`), fullPage: true });
      assert.deepEqual(await unusable(page), [], path);
      assert.equal(await page.locator("h1").count(), 1, path);
    }
    await page.goto("/clients");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    assert.deepEqual(page.complaints, []);
  });
}

await test("what clients say of themselves is text", async () => {
  const page = await visit("admin");
  for (const path of [...PAGES, "/clients/billing-2", "/clients/edi-lyon", `/clients?search=${encodeURIComponent(HOSTILE)}`]) {
    await page.goto(path);
    assert.equal(await page.evaluate(() => globalThis.harmed), undefined, path);
    assert.equal(await page.locator("script").count(), 1, path);
    assert.equal(await page.locator("img").count(), 0, path);
    assert.ok(!(await page.content()).includes("\u202e"), path);
  }
  await page.goto("/clients/billing-2");
  assert.match(await said(page), /<script>window\.harmed=1/);
  assert.deepEqual(page.complaints, []);
});

await test("clients are found, filtered, sorted, paged and exported", async () => {
  const page = await visit("viewer");
  await page.goto("/clients");
  assert.equal(await page.locator("tbody tr").count(), 100);
  await page.click("text=Next page");
  await page.waitForURL(/after=/);
  assert.equal(await page.locator("tbody tr").count(), 53);
  await page.goto("/clients");
  await page.keyboard.press("/");
  await page.keyboard.type("edi");
  await page.keyboard.press("Enter");
  await page.waitForURL(/search=edi/);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.goto("/clients?cohort=mobile&sort=created");
  assert.equal(await page.locator("tbody tr").count(), 3);
  await page.selectOption("#stage", "registered");
  await page.waitForURL(/stage=registered/);
  assert.ok((await page.locator("tbody tr").count()) >= 2);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("text=All of these as CSV")]);
  const csv = readFileSync(await download.path(), "utf8");
  assert.match(csv, /^client,status,/);
  assert.ok(csv.includes(`"${HOSTILE.replaceAll('"', '""')}"`), csv);
  await page.fill("#url", "https://api.example.com");
  const [letters] = await Promise.all([page.waitForEvent("download"), page.click("text=Letters to all of these as CSV")]);
  const table = readFileSync(await letters.path(), "utf8");
  assert.match(table, /^client_id,to,/);
  assert.equal(table.split("Hello,").length - 1, await page.locator("tbody tr").count());
  assert.ok(table.includes(`"${HOSTILE.replaceAll('"', '""')}"`), table);
  await page.goto("/clients/acme");
  await page.fill("#url", "https://api.example.com");
  await page.click("text=Its letter");
  await page.waitForURL(/\/clients\/acme\/letter\?url=/);
  assert.ok((await page.locator("body").innerText()).includes(HOSTILE));
  assert.equal(await page.evaluate("window.harmed"), undefined);
  await page.goto("/clients?cohort=mobile");
  // Whoever may only look is offered nothing else.
  assert.equal(await page.locator("main button:has-text('Disable')").count(), 0);
});

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with scripts" : "without scripts";
  await test(`a key is issued, shown once, revoked and restored, ${how}`, async () => {
    const page = await visit("operator", { javaScriptEnabled });
    await page.goto("/clients/acme");
    await page.fill("#expires", "90d");
    await page.click("text=Issue a key");
    const key = (await page.locator("output").innerText()).trim();
    assert.match(key, /^kf_\w+_/);
    await page.screenshot({ path: join(PICTURES, `key-${javaScriptEnabled}.png`) });
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("text=Download as .env")]);
    assert.equal(readFileSync(await download.path(), "utf8"), `KEYFERRY_KEY=${key}\n`);
    const [yaml] = await Promise.all([page.waitForEvent("download"), page.click("text=Kubernetes Secret")]);
    assert.match(readFileSync(await yaml.path(), "utf8"), /kind: Secret/);
    await page.click("text=I have it");
    await page.waitForURL("**/clients/acme");
    assert.ok(!(await page.content()).includes(key));
    const id = key.split("_")[2].slice(0, 32);
    const row = page.locator("tr", { hasText: id });
    await row.locator("button:has-text('Revoke')").click();
    await page.locator("h1", { hasText: "Are you sure?" }).waitFor();
    await page.screenshot({ path: join(PICTURES, `confirm-${javaScriptEnabled}.png`) });
    if (javaScriptEnabled) {
      await page.fill("#word", "wrong");
      assert.ok(await page.locator("button:has-text('Do it')").isDisabled());
    } else {
      await confirm(page, "wrong");
      assert.match(await said(page), /That is not/);
    }
    assert.match(await page.locator("main pre").innerText(), /would revoke/);
    await confirm(page);
    await page.waitForURL("**/clients/acme");
    assert.match(await page.locator(".notice").innerText(), /revoked the key/);
    assert.match(await row.innerText(), /revoked/);
    await page.click(".notice button:has-text('Undo')");
    await page.waitForURL("**/");
    await page.goto("/clients/acme");
    assert.match(await row.innerText(), /active/);
    await page.click("text=Rotate its key");
    assert.match(await page.locator("output").innerText(), /^kf_/);
    assert.deepEqual(page.complaints, []);
  });

  await test(`several clients are disabled, enabled and tagged, ${how}`, async () => {
    const page = await visit("operator", { javaScriptEnabled });
    await page.goto("/clients?search=fleet-1");
    if (javaScriptEnabled) await page.check("input[data-all]");
    else for (const box of await page.locator("input[name=ids]").all()) await box.check();
    await page.click("text=Disable chosen");
    const word = await page.locator("label[for=word] code").innerText();
    assert.match(word, /^\d+ clients$/);
    await page.fill("#reason", "a test");
    await confirm(page, word);
    await page.locator(".notice").waitFor();
    assert.match(await page.locator(".notice").innerText(), /disabled/);
    await page.click(".notice button:has-text('Undo')");
    await page.goto("/clients?search=fleet-1");
    assert.equal(await page.locator("tbody .tag.disabled").count(), 0);
    await page.locator("input[name=ids]").first().check();
    await page.fill("#add", "console");
    await page.click("text=Tag chosen");
    await page.goto("/clients?cohort=console");
    assert.ok((await page.locator("tbody tr").count()) >= 1);
    const { changes } = await gateway.get("audit/list?limit=20");
    const disabled = changes.find((change) => change.action === "client_disabled");
    assert.equal(disabled.actor.name, "operator");
    assert.equal(disabled.reason, "a test");
  });

  await test(`a phase is planned, set and taken back, ${how}`, async () => {
    const page = await visit("admin", { javaScriptEnabled });
    await page.goto("/phases");
    await page.click("summary:has-text('Announce')");
    await page.fill("#announce-cohort", "mobile");
    await page.fill("#announce-sunset", "2030-06-30");
    await page.click("details[open] button");
    await confirm(page);
    await page.waitForURL("**/phases");
    assert.match(await page.locator("tbody").innerText(), /cohort:mobile/);
    await page.screenshot({ path: join(PICTURES, `phases-set-${javaScriptEnabled}.png`), fullPage: true });
    await page.click("td button:has-text('Undo')");
    await confirm(page);
    await page.waitForURL("**/phases");
    assert.match(await said(page), /None: certificates are accepted as ever/);
    await page.click("summary:has-text('Brown out')");
    await page.fill("#brown-out-cohort", "mobile");
    await page.fill("#brown-out-windows", "Tue 10:00-11:00");
    await page.click("details[open] button");
    await page.locator("h1").waitFor();
    // What speaks against it is told instead.
    assert.match(await said(page), /never announced to these clients/);
  });
}

await test("a certificate that waits is given to a client by one click", async () => {
  const page = await visit("operator");
  await page.goto("/failures");
  assert.match(await said(page), /stranger-7/);
  await page.screenshot({ path: join(PICTURES, "failures.png"), fullPage: true });
  await page.locator("tr", { hasText: "stranger-7" }).locator("button:has-text('A new client')").click();
  await page.locator(".notice").waitFor();
  assert.match(await page.locator(".notice").innerText(), /gave/);
  assert.equal(await page.locator("tr", { hasText: "stranger-7" }).count(), 0);
});

await test("only what was done is taken back", async () => {
  const page = await visit("operator");
  await gateway.post("client/add", { ids: ["shut-before", "shut-now"] });
  await gateway.post("client/disable", { ids: ["shut-before"], reason: "broke in" });
  await page.goto("/clients?search=shut-");
  for (const box of await page.locator("input[name=ids]").all()) await box.check();
  await page.click("text=Disable chosen");
  await confirm(page);
  await page.click(".notice button:has-text('Undo')");
  await page.goto("/clients?search=shut-");
  assert.equal(await page.locator("tr", { hasText: "shut-before" }).locator(".tag.disabled").count(), 1);
  assert.equal(await page.locator("tr", { hasText: "shut-now" }).locator(".tag.disabled").count(), 0);
  // Nothing is done, so nothing is there to be undone.
  await page.locator("tr", { hasText: "shut-before" }).locator("input[name=ids]").check();
  await page.click("text=Disable chosen");
  await confirm(page);
  assert.match(await page.locator(".notice").innerText(), /already/);
  assert.equal(await page.locator(".notice button").count(), 0);
});

await test("a client whose name is a word of forms is itself", async () => {
  await gateway.post("client/add", { ids: ["on", "true"] });
  const page = await visit("operator");
  await page.goto("/clients/on");
  await page.fill("#add", "on");
  await page.click("text=Add tag");
  await page.waitForURL("**/clients/on");
  const { clients } = await gateway.get("client/list?cohort=on");
  assert.deepEqual(clients.map((client) => client.client_id), ["on"]);
});

await test("a certificate is removed when its word is typed", async () => {
  const page = await visit("operator");
  await page.goto("/clients/edi-lyon");
  await page.click("td button:has-text('Remove')");
  await confirm(page);
  await page.waitForURL("**/clients/edi-lyon");
  assert.match(await page.locator(".notice").innerText(), /removed/);
});

await test("whoever a certificate or a key is, is told", async () => {
  const page = await visit("viewer");
  await page.goto("/try");
  await page.fill("#shown", own);
  await page.click("text=Who is it?");
  assert.match(await said(page), /It is acme/);
  assert.match(await said(page), /x-client-id: acme/);
  await page.screenshot({ path: join(PICTURES, "tried.png"), fullPage: true });
  const issued = await gateway.post("key/issue", { client: "billing-2" });
  for (const [shown, told] of [
    [issued.key, /It is billing-2/],
    [`${issued.key.slice(0, -1)}${issued.key.endsWith("0") ? "1" : "0"}`, /Nobody: the key is mistyped/],
    ["nonsense", /Nobody: this is neither/],
    [HOSTILE, /Nobody: this is neither/],
  ]) {
    await page.fill("#shown", shown);
    await page.click("text=Who is it?");
    await page.locator("h2:has-text('Answer')").waitFor();
    assert.match(await said(page), told);
    assert.ok(!(await page.content()).includes(issued.key));
  }
});

await test("the doctor looks when it is told to, and whoever may look sees what it found", async () => {
  const viewer = await visit("viewer");
  await viewer.goto("/doctor");
  assert.match(await said(viewer), /Nobody has had it look/);
  assert.equal(await viewer.locator("main button").count(), 0);
  for (const javaScriptEnabled of [true, false]) {
    const page = await visit("operator", { javaScriptEnabled });
    await page.goto("/doctor");
    await page.click(javaScriptEnabled ? "button:has-text('Run')" : "button:has-text('Run again')");
    await page.waitForURL("**/doctor");
    await page.locator("summary:has-text('Errors')").waitFor();
    // Nobody listens where the backend should be.
    const row = page.locator("#errors tr", { hasText: "backend_connects" });
    assert.match(await row.innerText(), /clients get 502/);
    assert.match(await said(page), /Looked \d+ s ago/);
    // axe is a script itself.
    if (javaScriptEnabled) assert.deepEqual(await unusable(page), []);
    await page.check("input[name=no_backends]");
    await page.click("button:has-text('Run again')");
    await page.waitForURL("**/doctor");
    await page.locator("summary:has-text('In order')").waitFor();
    assert.equal(await page.locator("main tr", { hasText: "backend_connects" }).count(), 0);
    assert.deepEqual(page.complaints, []);
  }
  await viewer.goto("/doctor");
  await viewer.screenshot({ path: join(PICTURES, "doctor.png"), fullPage: true });
  assert.match(await said(viewer), /certificate_chain/);
  // Only an operator has it look, and only by a form of this console.
  const run = async (page, fields, headers = {}) => {
    const cookie = (await page.context().cookies()).map((one) => `${one.name}=${one.value}`).join("; ");
    const csrf = await page.locator("form.out input[name=csrf]").getAttribute("value");
    const answer = await fetch(`${gateway.url}/doctor`, {
      method: "POST",
      redirect: "manual",
      headers: { cookie, "content-type": "application/x-www-form-urlencoded", ...headers },
      body: new URLSearchParams({ csrf, no_backends: "true", ...fields }),
    });
    return answer.status;
  };
  const operator = await visit("operator");
  await operator.goto("/doctor");
  assert.equal(await run(operator, {}), 303);
  assert.equal(await run(operator, { csrf: "x" }), 403);
  assert.equal(await run(operator, {}, { origin: "https://attacker.example" }), 403);
  assert.equal(await run(viewer, {}), 403);
});

await test("no other site and no old form changes anything, and no form changes it twice", async () => {
  const page = await visit("operator");
  await page.goto("/clients/acme");
  const form = await page.evaluate(() => ({
    csrf: document.querySelector("input[name=csrf]").value,
    once: document.querySelector("form[action='/do/client/tag'] input[name=once]").value,
  }));
  const cookie = (await page.context().cookies()).map((one) => `${one.name}=${one.value}`).join("; ");
  const send = (fields, headers = {}, name = "client/tag") => fetch(`${gateway.url}/do/${name}`, {
    method: "POST",
    redirect: "manual",
    headers: { cookie, "content-type": "application/x-www-form-urlencoded", ...headers },
    body: new URLSearchParams({ ids: "acme", add: "sent", back: "/clients/acme", ...fields }),
  });
  const status = async (...args) => (await send(...args)).status;
  assert.equal(await status({}), 403);
  assert.equal(await status({ csrf: "x", once: form.once }), 403);
  assert.equal(await status(form, { origin: "https://attacker.example" }), 403);
  assert.equal(await status(form, { origin: "null" }), 403);
  assert.equal(await status(form, { "sec-fetch-site": "cross-site" }), 403);
  assert.equal(await status(form, {}, "client/list"), 404);
  assert.equal(await status(form, {}, "phase/announce"), 403);
  assert.equal(await status(form), 303);
  assert.equal(await status(form), 409);
  assert.equal(await status({ ...form, once: "of another length" }), 409);
  const to = await send({ ...form, once: "x".repeat(43), back: "https://attacker.example/" });
  assert.equal(to.headers.get("location"), "/");
  assert.equal((await fetch(`${gateway.url}/clients/acme`, { redirect: "manual" })).status, 303);
  const policy = (await fetch(`${gateway.url}/login`)).headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'/);
});

await test("who may only look, may only look", async () => {
  const page = await visit("viewer");
  for (const path of PAGES) {
    await page.goto(path);
    const actions = await page.locator("main form:is([action^='/do/'], [action='/doctor']) button[type=submit]").count();
    assert.equal(actions, 0, path);
  }
  assert.deepEqual(page.complaints, []);
});

await test("a session ends with its token, and by logging out", async () => {
  const page = await visit("viewer");
  const other = await visit("operator");
  gateway.allow(["operator", "admin"]);
  keyferry(gateway.folder, "reload");
  await page.goto("/");
  assert.match(page.url(), /\/login/);
  await other.goto("/");
  await other.click("text=Log out");
  assert.match(other.url(), /\/login/);
  await other.goto("/clients");
  assert.match(other.url(), /\/login/);
});

await browser.close();
await gateway.stop();
console.log(failed ? `${failed} failed` : `everything passed; pictures are in ${PICTURES}`);
process.exitCode = failed ? 1 : 0;
