// Writes src/api.ts from a server's /openapi.json: the operations that this example uses, and the
// types that they need.
//
//   node scripts/types.mjs https://sync.example.com > src/api.ts

const OPERATIONS = [
  "startSync",
  "getSync",
  "issueEventTicket",
  "pauseSync",
  "resumeSync",
  "cancelSync",
  "restartSync",
  "getCertificate",
  "listRejectedRecords",
  "listNotifications",
  "readNotifications",
];

const [server] = process.argv.slice(2);
if (!server) {
  console.error("give the server's address: node scripts/types.mjs http://127.0.0.1:8080 > src/api.ts");
  process.exit(2);
}
const response = await fetch(new URL("/openapi.json", server));
if (!response.ok) throw new Error(`${response.url} responded with ${response.status}`);
const document = await response.json();

const needed = new Set();

function named(reference) {
  const name = reference.split("/").at(-1);
  needed.add(name);
  return name;
}

/** The TypeScript of a JSON schema. */
function type(schema, indent = "") {
  if (schema === undefined || schema === true) return "unknown";
  if (schema.$ref) return named(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return [...new Set(choices.map((choice) => type(choice, indent)))].sort(nullLast).join(" | ");
  if (schema.allOf) return schema.allOf.map((part) => type(part, indent)).join(" & ");
  const types = [schema.type ?? "unknown"].flat();
  return types.sort(nullLast).map((one) => simple(one, schema, indent)).join(" | ");
}

function nullLast(one, other) {
  return Number(one === "null") - Number(other === "null");
}

function simple(name, schema, indent) {
  switch (name) {
    case "integer":
    case "number":
      return "number";
    case "string":
    case "boolean":
    case "null":
      return name;
    case "array":
      return `Array<${type(schema.items, indent)}>`;
    case "object":
      return schema.properties ? object(schema, indent) : "Record<string, unknown>";
    default:
      return "unknown";
  }
}

function comment(text, indent) {
  if (!text) return "";
  const lines = text.trim().split("\n").map((line) => `${indent} *${line ? ` ${line}` : ""}`);
  return `${indent}/**\n${lines.join("\n")}\n${indent} */\n`;
}

function object(schema, indent) {
  const inner = `${indent}  `;
  const fields = Object.entries(schema.properties).map(([name, property]) => {
    const optional = (schema.required ?? []).includes(name) ? "" : "?";
    return `${comment(property.description, inner)}${inner}${name}${optional}: ${type(property, inner)};`;
  });
  return `{\n${fields.join("\n")}\n${indent}}`;
}

function content(body) {
  const schemas = Object.values(body?.content ?? {}).map((media) => media.schema);
  return schemas.length === 0 ? "undefined" : type(schemas[0], "    ");
}

function operation(id) {
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      if (described.operationId === id) return { path, method: method.toUpperCase(), described };
    }
  }
  throw new Error(`${server} has no operation ${id}`);
}

const operations = [];
const routes = [];
for (const id of OPERATIONS) {
  const { path, method, described } = operation(id);
  const query = (described.parameters ?? []).filter((parameter) => parameter.in === "query");
  const parameters = query.map(
    ({ name, description, schema }) =>
      `${comment(description, "      ")}      ${name}?: ${type(schema, "      ").replace(/ \| null$/, "")};\n`,
  );
  const success = Object.entries(described.responses).find(([status]) => status.startsWith("2"));
  operations.push(
    `${comment(described.summary, "  ")}  ${id}: {\n` +
      `    query: ${query.length ? `{\n${parameters.join("")}    }` : "Record<never, never>"};\n` +
      `    body: ${content(described.requestBody)};\n` +
      `    response: ${content(success?.[1])};\n  };`,
  );
  routes.push(`  ${id}: { method: "${method}", path: "${path}" },`);
}
named("#/components/schemas/Problem");
named("#/components/schemas/StatusView");

// Schemas name others, which are needed then.
const written = new Map();
for (;;) {
  const open = [...needed].filter((name) => !written.has(name));
  if (open.length === 0) break;
  for (const name of open) {
    const schema = document.components.schemas[name];
    const body = type(schema);
    const declared = body.startsWith("{") ? `export interface ${name} ${body}` : `export type ${name} = ${body};`;
    written.set(name, comment(schema.description, "") + declared);
  }
}

const types = [...written].sort(([one], [other]) => one.localeCompare(other, "en")).map(([, text]) => text);
console.log(`// Written by scripts/types.mjs from the server's /openapi.json. Do not edit.

${types.join("\n\n")}

/** What each operation takes and gives. */
export interface Operations {
${operations.join("\n")}
}

/** Where each operation is. */
export const routes = {
${routes.join("\n")}
} as const satisfies Record<keyof Operations, { method: string; path: string }>;`);
