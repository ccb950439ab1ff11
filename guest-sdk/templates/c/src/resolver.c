// Who is which database user.
#include "sym.h"

// The part of the address before the `@`, for people of the domains that are
// configured.
const char *resolve_user(const sym_request *request) {
  sym_email email;
  if (!sym_parse_email(request->requester.username, &email)) {
    return sym_denied("Only people get access here, bots don't.");
  }
  const char *domain = sym_config("domain");
  if (!domain) {
    return sym_failed("invalid-config", "config `domain` is missing, set it in `plugins.toml`");
  }
  if (!sym_is_in(email, domain)) {
    return sym_denied("Only people of %s get access here.", domain);
  }
  if (sym_equal(request->strategy, "role")) {
    return email.local_part;
  }
  if (sym_equal(request->strategy, "temporary-user")) {
    // Another name for each run.
    return sym_text("%s_%.8s", email.local_part, request->run_id);
  }
  return sym_failed("unknown-strategy", "strategy is `%s`, this plugin knows `role` and `temporary-user`",
                    request->strategy);
}
