// Write a plugin for the sym PostgreSQL host in C.
//
// A plugin answers one or both of two questions, each a function of yours:
// `resolve_user` in src/resolver.c and `setup` in src/target.c. Everything else
// is here, and in sym.c.
//
// A plugin gets data and answers data: it has no network, no files, no clock and
// no database. Each call runs in a fresh instance, so nothing lives on and
// nothing has to be freed.
#ifndef SYM_H
#define SYM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A key and its value.
typedef struct {
  const char *key;
  const char *value;
} sym_pair;

// Pairs, in the order of the keys.
typedef struct {
  const sym_pair *items;
  size_t count;
} sym_pairs;

// A person, or a bot, as Sym names them.
typedef struct {
  // An email address for people, a bare name for bots. The only field that is
  // the same in every event of a run.
  const char *username;
  // Their display name, or NULL.
  const char *name;
  // What Sym sent of their identity in another service. Differs between the
  // events of one run: good for display, not as a key.
  sym_pairs identities;
} sym_actor;

// One request for access: approved, or about to be shown to its approvers. Texts
// are UTF-8, and end in NUL: a request with a NUL inside a text is refused before
// you see it.
typedef struct {
  // Identifies the request. From Sym a UUID in lower case; from a person who gives
  // access without Sym up to 64 lower case letters, digits, `-` and `_`.
  const char *run_id;
  // "role" or "temporary-user". More may come: refuse what you don't know.
  const char *strategy;
  sym_actor requester;
  // Who approved, or NULL.
  const sym_actor *approver;
  // The target's `name` in Sym's Terraform, and its `settings`.
  struct {
    const char *name;
    const char *label; // or NULL
    sym_pairs settings;
  } target;
  const char *flow;
  // Why, in the requester's words, or NULL.
  const char *reason;
  // How long, or -1 where the flow has no duration.
  int64_t duration_seconds;
  // When Sym sent the event: RFC 3339, in UTC.
  const char *event_time;
  // `org`, `run-srn`, `schema-version`, `channel`; more may come.
  sym_pairs context;
  // The whole event, as JSON.
  const char *event_json;
} sym_request;

// What a target gives, in order.
typedef struct sym_steps sym_steps;

// ---- Yours: src/resolver.c, src/target.c ------------------------------------

// The database user of the person who asked: at most 63 bytes. NULL after
// sym_denied or sym_failed.
const char *resolve_user(const sym_request *request);

// What the user gets: all of it happens, or nothing. NULL after sym_denied or
// sym_failed.
sym_steps *setup(const sym_request *request, const char *username);

// ---- Answering --------------------------------------------------------------

#define SYM_PRINTF(n) __attribute__((format(printf, n, n + 1)))

// A decision against the request: the requester reads the text.
//   return sym_denied("Only people get access here, not `%s`.", name);
void *sym_denied(const char *format, ...) SYM_PRINTF(1);

// A fault, which goes to the operator. The code is yours, in lower case with
// hyphens: "failed" fits any.
void *sym_failed(const char *code, const char *format, ...) SYM_PRINTF(2);

// A text made as printf makes it.
char *sym_text(const char *format, ...) SYM_PRINTF(1);

// No steps yet.
sym_steps *sym_no_steps(void);

// Makes the user a member of this role. For the strategy `role`, the one step.
void sym_grant_role(sym_steps *steps, const char *role);

// Runs one statement, for a temporary user. `{username}` is always there; give
// every other `{placeholder}` its value with the two below: the host quotes it.
void sym_sql(sym_steps *steps, const char *sql);

// A name (of a role, a schema, a table) for a placeholder of the last statement.
void sym_identifier(sym_steps *steps, const char *placeholder, const char *name);

// A string constant for a placeholder of the last statement.
void sym_literal(sym_steps *steps, const char *placeholder, const char *text);

// ---- Reading ----------------------------------------------------------------

// The value of a key, or NULL.
const char *sym_get(sym_pairs pairs, const char *key);

// The value of a key of the plugin's `config` table in plugins.toml, or NULL. A
// value that is no string there arrives as JSON.
const char *sym_config(const char *key);

// Texts, in order.
typedef struct {
  const char *const *items;
  size_t count;
  // Whether the operator set the key: an empty list is something else than none.
  bool is_set;
} sym_texts;

// A list of the `config` table: an array of strings, or one string with commas,
// in which empty items are left out. Blanks around each item are taken off.
// false, with the failure set, where the value is anything else:
//   sym_texts domains;
//   if (!sym_config_list("domains", &domains)) return NULL;
bool sym_config_list(const char *key, sym_texts *list);

// The same of a list that has to be there, and to have something in it: false, with
// the failure set, where it isn't.
bool sym_require_list(const char *key, sym_texts *list);

// The items of a list in one text, with `between` between them.
const char *sym_join(sym_texts list, const char *between);

// All of them.
sym_pairs sym_config_all(void);

// An email address that a decision may stand on.
typedef struct {
  const char *local_part;
  const char *domain;
} sym_email;

// Splits an address. false for a bot's name, and for anything that could be read
// in two ways: with a second `@`, a blank or a control character.
bool sym_parse_email(const char *text, sym_email *email);

// Whether the address is in this very domain. A subdomain is another domain.
bool sym_is_in(sym_email email, const char *domain);

// Whether it is in one of them.
bool sym_is_in_any(sym_email email, sym_texts domains);

// Whether two texts are the same.
bool sym_equal(const char *a, const char *b);

// ---- Logging ----------------------------------------------------------------

// Lines in the host's log, with the plugin's name, its version and the run.
// printf goes there too.
void sym_debug(const char *format, ...) SYM_PRINTF(1);
void sym_info(const char *format, ...) SYM_PRINTF(1);
void sym_warn(const char *format, ...) SYM_PRINTF(1);
void sym_error(const char *format, ...) SYM_PRINTF(1);

#endif
