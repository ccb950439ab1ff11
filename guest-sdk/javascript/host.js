// Between the host and a plugin's functions: what the host passes becomes what
// index.d.ts says, and whatever is thrown becomes a failure.
//
// No part of what a plugin uses: `symctl plugin build` imports it.
import { Failure, log } from "./index.js";

export function exportResolver(resolveUser) {
  requireExport("resolver", "resolveUser", resolveUser);
  return {
    resolveUser: (request) =>
      guard("resolveUser", () => {
        const user = resolveUser(readRequest(request));
        if (typeof user !== "string") {
          throw wrong("resolveUser", user, "a string");
        }
        return user;
      }),
  };
}

export function exportTarget(setup) {
  requireExport("target", "setup", setup);
  return {
    setup: (request, username) =>
      guard("setup", () => {
        const steps = setup(readRequest(request), username);
        if (!Array.isArray(steps)) {
          throw wrong("setup", steps, "an array of steps");
        }
        return steps.map(writeStep);
      }),
  };
}

// This runs when the plugin is built, and so ends the build.
function requireExport(file, name, value) {
  if (typeof value !== "function") {
    throw new Error(`src/${file} exports no function \`${name}\`: write \`export function ${name}(…)\``);
  }
}

// A thrown record is the answer `failure`. Anything else would end the plugin,
// and nobody would know why.
function guard(name, body) {
  try {
    return body();
  } catch (error) {
    if (error instanceof Failure) {
      throw { code: String(error.code), message: String(error.message) };
    }
    let message;
    try {
      message = describe(name, error);
    } catch {
      message = `${name} threw something that can't be shown`;
    }
    throw { code: "failed", message };
  }
}

function describe(name, error) {
  if (!(error instanceof Error)) {
    return `${name} threw ${JSON.stringify(error) ?? String(error)}`;
  }
  const frames = String(error.stack ?? "").trim().split("\n").map((line) => line.trim());
  log.error(`${error}: ${frames.join("; ")}`);
  const place = frames[0] ? ` (${frames[0]})` : "";
  return `${error}${place}`;
}

function wrong(name, value, expected) {
  const kind = value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
  const isPromise = typeof value?.then === "function";
  const hint = isPromise ? ": it must not be async, as there is nothing to wait for" : "";
  return new Failure("failed", `${name} returned ${kind}, expected ${expected}${hint}`);
}

function readRequest(request) {
  return {
    ...request,
    requester: readActor(request.requester),
    approver: request.approver ? readActor(request.approver) : undefined,
    target: {
      name: request.target.name,
      label: request.target.label ?? undefined,
      settings: new Map(request.target.settings),
    },
    reason: request.reason ?? undefined,
    durationSeconds: request.durationSeconds ?? undefined,
    context: new Map(request.context),
  };
}

function readActor(actor) {
  return {
    username: actor.username,
    name: actor.name ?? undefined,
    identities: new Map(actor.identities),
  };
}

function text(value, what) {
  if (typeof value !== "string") {
    const kind = value === null ? "null" : typeof value;
    throw new Failure("failed", `${what} is ${kind}, expected a string`);
  }
  return value;
}

function writeStep(step, index) {
  const what = `step ${index + 1}`;
  const isRecord = typeof step === "object" && step !== null;
  if (isRecord && "grantRole" in step) {
    return { tag: "grant-role", val: text(step.grantRole, `the role of ${what}`) };
  }
  if (isRecord && "sql" in step) {
    const args = Object.entries(step.args ?? {}).map(([name, value]) => {
      const kind = value?.identifier === undefined ? "literal" : "identifier";
      return [name, { tag: kind, val: text(value?.[kind], `the value \`${name}\` of ${what}`) }];
    });
    return { tag: "sql", val: { sql: text(step.sql, `the SQL of ${what}`), args } };
  }
  throw new Failure("failed", `${what} is neither grantRole(…) nor sql(…)`);
}
