// Holds custom resources (a list, as JSON on standard input) against the types and schemas of @kubernetes-models, and
// gives what is wrong with each: a list of lists of sentences.
//
// The compiler finds fields that do not exist, which the cluster would drop without a word; the schemas find values
// that do not fit, such as a duration without a unit.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules] = process.argv.slice(2);

// Where the package has no newer version than one that became stable as it was, it stands in.
const STANDS_IN = {
  "external-secrets.io/v1": "external-secrets.io/v1beta1",
  "gateway.networking.k8s.io/v1 TLSRoute": "gateway.networking.k8s.io/v1alpha2",
};
const PACKAGES = {
  "cert-manager.io": "cert-manager",
  "external-secrets.io": "external-secrets",
  "gateway.networking.k8s.io": "gateway-api",
  "monitoring.coreos.com": "prometheus-operator",
};

function known({ apiVersion, kind }) {
  const version = STANDS_IN[`${apiVersion} ${kind}`] ?? STANDS_IN[apiVersion] ?? apiVersion;
  const name = PACKAGES[version.split("/")[0]];
  return name && { version, path: `@kubernetes-models/${name}/${version}/${kind}` };
}

function compiled(resources, folder) {
  const files = resources.map(({ resource, path }, number) => {
    const file = `${number}.ts`;
    const type = `I${resource.kind}`;
    const text = `import type { ${type} } from "${path}";\nexport const x: ${type} = ${JSON.stringify(resource)};\n`;
    writeFileSync(join(folder, file), text);
    return file;
  });
  const tsc = join(modules, "typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"];
  const done = spawnSync(process.execPath, [tsc, ...options, ...files], { cwd: folder, encoding: "utf8" });
  const lines = done.stdout.split("\n").filter((line) => line !== "");
  const answers = files.map((file) => lines.filter((line) => line.startsWith(`${file}(`)));
  if (done.status !== 0 && answers.flat().length === 0) {
    throw new Error(`the compiler failed: ${done.stdout}${done.stderr}`);
  }
  return answers;
}

async function validated({ resource, path }, number, folder) {
  const file = join(folder, `${number}.mjs`);
  writeFileSync(file, `export { ${resource.kind} as Model } from "${path}";\n`);
  const { Model } = await import(pathToFileURL(file));
  try {
    new Model(resource).validate();
    return [];
  } catch (error) {
    return [String(error.message)];
  }
}

const given = JSON.parse(readFileSync(0, "utf8"));
const foreign = given.filter((resource) => !known(resource));
if (foreign.length > 0) {
  throw new Error(`no schema for ${foreign.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)}`);
}
const resources = given.map((resource) => {
  const { version, path } = known(resource);
  return { resource: { ...resource, apiVersion: version }, path };
});
// Beside the packages, so that they are found.
const folder = mkdtempSync(join(modules, "manifests-"));
try {
  const types = compiled(resources, folder);
  const schemas = await Promise.all(resources.map((resource, number) => validated(resource, number, folder)));
  console.log(JSON.stringify(types.map((answer, number) => [...answer, ...schemas[number]])));
} finally {
  rmSync(folder, { recursive: true });
}
