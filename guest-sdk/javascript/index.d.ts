// Write a plugin for the sym PostgreSQL host in TypeScript or JavaScript.
//
// A plugin answers one or both of two questions: `resolveUser`, exported by
// src/resolver, and `setup`, exported by src/target. It gets data and answers
// data: it has no network, no files, no clock (`Date.now()` and `new Date()` throw)
// and no database. Each call runs in a fresh instance, so nothing lives on. What
// stands outside a function runs once, when the plugin is built.
//
// What you throw is never lost: a `Failure` is the answer, anything else becomes
// a fault with its text and place, and console.log goes to the plugin's log.

/** A person, or a bot, as Sym names them. */
export interface Actor {
  /** An email address for people, a bare name for bots. The only field that is the same in every event of a run. */
  readonly username: string;
  /** Their display name. */
  readonly name?: string;
  /** What Sym sent of their identity in another service. Differs between the events of one run: good for display, not as a key. */
  readonly identities: ReadonlyMap<string, string>;
}

/** What access is asked for. */
export interface Target {
  /** The target's `name` in Sym's Terraform. */
  readonly name: string;
  /** What the person saw in the menu. */
  readonly label?: string;
  /** The target's `settings`. Values that are not strings arrive as JSON. */
  readonly settings: ReadonlyMap<string, string>;
}

/** One request for access: approved, or about to be shown to its approvers. */
export interface Request {
  /** Identifies the request. From Sym a UUID in lower case; from a person who gives access without Sym up to 64 lower case letters, digits, `-` and `_`. */
  readonly runId: string;
  /** `role` or `temporary-user`. More may come: refuse what you don't know. */
  readonly strategy: "role" | "temporary-user" | (string & {});
  readonly requester: Actor;
  /** Who approved, where the event says so. */
  readonly approver?: Actor;
  readonly target: Target;
  readonly flow: string;
  /** Why, in the requester's words. */
  readonly reason?: string;
  /** How long, where the flow has a duration. */
  readonly durationSeconds?: number;
  /** When Sym sent the event: RFC 3339, in UTC. */
  readonly eventTime: string;
  /** `org`, `run-srn`, `schema-version`, `channel`; more may come. */
  readonly context: ReadonlyMap<string, string>;
  /** The whole event, as JSON. */
  readonly eventJson: string;
}

/** One thing that a target asks the host to do. */
export type Step = { readonly grantRole: string } | Statement;

/** A value for a placeholder: the host quotes it by its kind. */
export type Value = { readonly identifier: string } | { readonly literal: string };

/** One SQL statement, for a temporary user. */
export interface Statement {
  /** `{name}` stands for the value of that name. `{username}` is always there. */
  readonly sql: string;
  readonly args?: Readonly<Record<string, Value>>;
}

/** Makes the user a member of this role. For the strategy `role`, the one step. */
export function grantRole(role: string): Step;

/**
 * Runs one statement, for a temporary user. Never write a value into `sql`
 * yourself: give it a placeholder.
 *
 * ```ts
 * sql("GRANT SELECT ON TABLE {table} TO {username}", { table: identifier("orders") })
 * ```
 */
export function sql(sql: string, args?: Readonly<Record<string, Value>>): Step;

/** The name of a role, a schema, a table. At most 63 bytes. */
export function identifier(name: string): Value;

/** A string constant. */
export function literal(text: string): Value;

/** Why a plugin doesn't answer: throw it. */
export class Failure extends Error {
  /** `code` in lower case with hyphens; the message is one sentence: what, and what to do. */
  constructor(code: string, message: string);
  readonly code: string;
}

/** A decision against the request: the requester reads the message. `throw denied("…")` */
export function denied(message: string): Failure;

/** An email address that a decision may stand on. */
export interface Email {
  readonly localPart: string;
  readonly domain: string;
  /** Whether it is in this very domain. A subdomain is another domain. */
  isIn(domain: string): boolean;
}

/**
 * Splits an address. `undefined` for a bot's name, and for anything that could be
 * read in two ways: with a second `@`, a blank or a control character.
 */
export function parseEmail(text: string): Email | undefined;

/** The plugin's settings: the `config` table of its entry in `plugins.toml`. */
export const config: {
  /** The value of a key. A value that is no string arrives as JSON. */
  get(key: string): string | undefined;
  /** The value of a key that has to be there. */
  require(key: string): string;
  /** An array of strings, or one string with commas. */
  list(key: string): string[] | undefined;
  /** The same of a list that has to be there, and to have something in it. */
  requireList(key: string): string[];
  /** All keys and values, in the order of the keys. */
  all(): Map<string, string>;
};

/** Lines in the host's log, with the plugin's name, its version and the run. `console` writes there too. */
export const log: {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
};

declare global {
  var console: {
    debug(...values: unknown[]): void;
    log(...values: unknown[]): void;
    info(...values: unknown[]): void;
    warn(...values: unknown[]): void;
    error(...values: unknown[]): void;
  };
}
