// What a target means.
#include "sym.h"

// The role of the target's setting `role`; a temporary user may also read the
// table of its setting `table`.
sym_steps *setup(const sym_request *request, const char *username) {
  const char *role = sym_get(request->target.settings, "role");
  sym_steps *steps = sym_no_steps();
  sym_grant_role(steps, role ? role : "readonly");
  const char *table = sym_get(request->target.settings, "table");
  if (table && sym_equal(request->strategy, "temporary-user")) {
    sym_info("%s may read %s", username, table);
    sym_sql(steps, "GRANT SELECT ON TABLE {table} TO {username}");
    sym_identifier(steps, "table", table);
  }
  return steps;
}
