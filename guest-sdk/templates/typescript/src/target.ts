// What a target means.
import { grantRole, identifier, log, type Request, sql, type Step } from "../sym/index.js";

/** The role of the target's setting `role`; a temporary user may also read the table of its setting `table`. */
export function setup(request: Request, username: string): Step[] {
  const settings = request.target.settings;
  const steps = [grantRole(settings.get("role") ?? "readonly")];
  const table = settings.get("table");
  if (table !== undefined && request.strategy === "temporary-user") {
    log.info(`${username} may read ${table}`);
    steps.push(sql("GRANT SELECT ON TABLE {table} TO {username}", { table: identifier(table) }));
  }
  return steps;
}
