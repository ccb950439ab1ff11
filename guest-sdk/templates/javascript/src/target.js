// What a target means.
import { grantRole, identifier, log, sql } from "../sym/index.js";

/** The role of the target's setting `role`; a temporary user may also read the table of its setting `table`.
 * @param {import("../sym/index.js").Request} request
 * @param {string} username
 * @returns {import("../sym/index.js").Step[]}
 */
export function setup(request, username) {
  const settings = request.target.settings;
  const steps = [grantRole(settings.get("role") ?? "readonly")];
  const table = settings.get("table");
  if (table !== undefined && request.strategy === "temporary-user") {
    log.info(`${username} may read ${table}`);
    steps.push(sql("GRANT SELECT ON TABLE {table} TO {username}", { table: identifier(table) }));
  }
  return steps;
}
