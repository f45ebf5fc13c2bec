// Runs the JavaScript of docs/WEBHOOKS.md: takes its text and calls as JSON, gives what each call says.

import { readFileSync } from "node:fs";

const asked = JSON.parse(readFileSync(0, "utf8"));
const page = await import(`data:text/javascript,${encodeURIComponent(asked.code)}`);
const answers = asked.calls.map((one) =>
  page.isFromKeyferry(one.secrets, one.headers, Buffer.from(one.body), one.now),
);
console.log(JSON.stringify(answers));
