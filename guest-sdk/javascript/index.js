// What a plugin imports from "../sym": index.d.ts says what each part is for.
import hostConfig from "sym:postgres/config@0.1.0";
import hostLog from "sym:postgres/log@0.1.0";

export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.name = "Failure";
    this.code = code;
  }
}

export function denied(message) {
  return new Failure("denied", message);
}

export function grantRole(role) {
  return { grantRole: role };
}

export function sql(text, args) {
  return { sql: text, args };
}

export function identifier(name) {
  return { identifier: name };
}

export function literal(text) {
  return { literal: text };
}

// Blanks (Unicode's White_Space) and control characters: \s is something else.
const UNCLEAR =
  /[\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

export function parseEmail(text) {
  const parts = text.split("@");
  if (parts.length !== 2 || !parts[0] || !parts[1] || UNCLEAR.test(text)) {
    return undefined;
  }
  const [localPart, domain] = parts;
  return { localPart, domain, isIn: (other) => lower(domain) === lower(other) };
}

// Only ASCII letters: beyond them, letters that look alike become the same one.
function lower(text) {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function invalid(key, problem) {
  return new Failure("invalid-config", `config \`${key}\` ${problem}`);
}

export const config = {
  get(key) {
    return hostConfig.get(key) ?? undefined;
  },
  require(key) {
    const value = config.get(key);
    if (value === undefined) {
      throw invalid(key, "is missing, set it in `plugins.toml`");
    }
    return value;
  },
  list(key) {
    const value = config.get(key)?.trim();
    if (value === undefined) {
      return undefined;
    }
    if (!/^[[{]/.test(value)) {
      return value.split(",").map((item) => item.trim()).filter((item) => item !== "");
    }
    let items;
    try {
      items = JSON.parse(value);
    } catch {
      items = undefined;
    }
    if (!Array.isArray(items) || !items.every((item) => typeof item === "string")) {
      throw invalid(key, "has to be a list of strings");
    }
    return items.map((item) => item.trim());
  },
  requireList(key) {
    const items = config.list(key);
    if (!items?.length) {
      throw invalid(key, "is missing or empty, list at least one value in `plugins.toml`");
    }
    return items;
  },
  all() {
    return new Map(hostConfig.getAll());
  },
};

const writer = (level) => (message) => hostLog.write(level, String(message));

export const log = {
  debug: writer("debug"),
  info: writer("info"),
  warn: writer("warn"),
  error: writer("error"),
};

function shown(value) {
  if (typeof value === "string") {
    return value;
  }
  if (value instanceof Error) {
    return `${value}\n${value.stack ?? ""}`.trimEnd();
  }
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

const printer = (write) => (...values) => write(values.map(shown).join(" "));

globalThis.console = {
  debug: printer(log.debug),
  log: printer(log.info),
  info: printer(log.info),
  warn: printer(log.warn),
  error: printer(log.error),
};

// What stands outside a function runs when the plugin is built, where there is a
// clock: its time would be every call's.
function noClock() {
  throw new Error("a plugin has no clock: `request.eventTime` is when Sym sent the event");
}

Date.now = noClock;
globalThis.performance = { now: noClock };
globalThis.Date = new Proxy(Date, {
  apply: noClock,
  construct: (date, values, made) =>
    values.length > 0 ? Reflect.construct(date, values, made) : noClock(),
});
Date.prototype.constructor = Date;
