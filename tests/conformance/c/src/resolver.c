// Who is which database user.
#include "orders.h"

#include <string.h>

static const char *behind(const char *prefix, const char *text) {
  size_t count = strlen(prefix);
  return strncmp(prefix, text, count) ? NULL : text + count;
}

static const char *show_list(const char *key) {
  sym_texts list;
  if (!sym_config_list(key, &list) || !list.is_set) {
    return NULL;
  }
  const char *text = sym_text("%zu:", list.count);
  for (size_t i = 0; i < list.count; i++) {
    text = sym_text("%s%s%s", text, i ? "|" : "", list.items[i]);
  }
  return text;
}

static const char *show(const sym_request *request, const char *what) {
  const char *key;
  if ((key = behind("config.", what))) {
    return sym_config(key);
  }
  if ((key = behind("list.", what))) {
    return show_list(key);
  }
  if ((key = behind("setting.", what))) {
    return sym_get(request->target.settings, key);
  }
  if ((key = behind("identity.", what))) {
    return sym_get(request->requester.identities, key);
  }
  if ((key = behind("context.", what))) {
    return sym_get(request->context, key);
  }
  if (sym_equal(what, "duration")) {
    return request->duration_seconds < 0 ? NULL
                                         : sym_text("%lld", (long long)request->duration_seconds);
  }
  if (sym_equal(what, "quotes")) {
    size_t count = 0;
    for (const char *c = request->event_json; *c; c++) {
      count += *c == '"';
    }
    return sym_text("%zu", count);
  }
  if (sym_equal(what, "config")) {
    return sym_text("%zu", sym_config_all().count);
  }
  const sym_pair fields[] = {
      {"run-id", request->run_id},
      {"strategy", request->strategy},
      {"username", request->requester.username},
      {"name", request->requester.name},
      {"approver", request->approver ? request->approver->username : NULL},
      {"target", request->target.name},
      {"label", request->target.label},
      {"flow", request->flow},
      {"reason", request->reason},
      {"event-time", request->event_time},
  };
  return sym_get((sym_pairs){fields, sizeof fields / sizeof *fields}, what);
}

const char *resolve_user(const sym_request *request) {
  if (!obey(request)) {
    return NULL;
  }
  const char *order = sym_config("do");
  if (order && sym_equal(order, "nothing")) {
    return NULL;
  }
  const char *text = flood();
  if (text) {
    return text;
  }
  const char *what = sym_config("show");
  if (what) {
    text = show(request, what);
    return text ? text : "absent";
  }
  sym_email email;
  if (!sym_parse_email(request->requester.username, &email)) {
    return sym_denied("Not a person: %s", request->requester.username);
  }
  const char *domain = sym_config("domain");
  if (domain && !sym_is_in(email, domain)) {
    return sym_denied("Not of %s", domain);
  }
  if (sym_equal(request->strategy, "temporary-user")) {
    return sym_text("%s_%.8s", email.local_part, request->run_id);
  }
  return email.local_part;
}
