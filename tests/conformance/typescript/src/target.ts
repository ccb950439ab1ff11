// What a target means.
import { grantRole, identifier, literal, type Request, sql, type Step } from "../sym/index.js";
import { FLOOD, floods, obey } from "./orders.js";

export function setup(request: Request, _username: string): Step[] {
  obey(request);
  if (floods()) {
    return [grantRole("x".repeat(FLOOD))];
  }
  const settings = request.target.settings;
  const roles = settings.get("roles");
  if (roles !== undefined) {
    return Array.from({ length: Number(roles) }, (_, i) => grantRole(`role_${i + 1}`));
  }
  const steps = [grantRole(settings.get("role") ?? "readonly")];
  if (request.strategy === "temporary-user") {
    for (const table of settings.get("tables")?.split(",") ?? []) {
      steps.push(sql("GRANT SELECT ON TABLE {table} TO {username}", { table: identifier(table) }));
    }
    const note = settings.get("note");
    if (note !== undefined) {
      steps.push(sql("INSERT INTO notes VALUES ({note})", { note: literal(note) }));
    }
  }
  return steps;
}
