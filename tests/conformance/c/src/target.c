// What a target means.
#include "orders.h"

#include <stdlib.h>
#include <string.h>

sym_steps *setup(const sym_request *request, const char *username) {
  (void)username;
  if (!obey(request)) {
    return NULL;
  }
  sym_steps *steps = sym_no_steps();
  const char *text = flood();
  if (text) {
    sym_grant_role(steps, text);
    return steps;
  }
  sym_pairs settings = request->target.settings;
  const char *roles = sym_get(settings, "roles");
  if (roles) {
    for (int i = 1; i <= atoi(roles); i++) {
      sym_grant_role(steps, sym_text("role_%d", i));
    }
    return steps;
  }
  const char *role = sym_get(settings, "role");
  sym_grant_role(steps, role ? role : "readonly");
  if (!sym_equal(request->strategy, "temporary-user")) {
    return steps;
  }
  const char *tables = sym_get(settings, "tables");
  while (tables) {
    const char *comma = strchr(tables, ',');
    size_t count = comma ? (size_t)(comma - tables) : strlen(tables);
    sym_sql(steps, "GRANT SELECT ON TABLE {table} TO {username}");
    sym_identifier(steps, "table", sym_text("%.*s", (int)count, tables));
    tables = comma ? comma + 1 : NULL;
  }
  const char *note = sym_get(settings, "note");
  if (note) {
    sym_sql(steps, "INSERT INTO notes VALUES ({note})");
    sym_literal(steps, "note", note);
  }
  return steps;
}
