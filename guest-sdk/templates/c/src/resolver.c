// Who is which database user.
#include "sym.h"

#include <string.h>

// The part of the address before the `@`, for people of the domains that are
// configured.
const char *resolve_user(const sym_request *request) {
  sym_email email;
  if (!sym_parse_email(request->requester.username, &email)) {
    return sym_denied("Only people get access here, bots don't.");
  }
  sym_texts domains;
  if (!sym_require_list("domains", &domains)) {
    return NULL;
  }
  if (!sym_is_in_any(email, domains)) {
    return sym_denied("Only people of %s get access here.", sym_join(domains, ", "));
  }
  if (sym_equal(request->strategy, "role")) {
    return email.local_part;
  }
  if (sym_equal(request->strategy, "temporary-user")) {
    // Another name for each run: the end of its id, which may be short.
    size_t length = strlen(request->run_id);
    const char *end = request->run_id + (length > 8 ? length - 8 : 0);
    return sym_text("%s_%s", email.local_part, end);
  }
  return sym_failed("unknown-strategy", "strategy is `%s`, this plugin knows `role` and `temporary-user`",
                    request->strategy);
}
