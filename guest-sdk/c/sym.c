// What sym.h promises: reading the request, keeping the answer, the log.
#include "abi.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SYM_IMPORT("log", "write")
void abi_log(int32_t level, const char *bytes, size_t count);
SYM_IMPORT("config", "get")
void abi_config_get(const char *bytes, size_t count, abi_optional_text *value);
SYM_IMPORT("config", "get-all")
void abi_config_all(abi_pairs *pairs);

enum { DEBUG, INFO, WARN, ERROR };

static void log_line(int32_t level, const char *text) { abi_log(level, text, strlen(text)); }

// Memory that is never freed: an instance lives for one call.
void *abi_allocate(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) {
    log_line(ERROR, "out of memory");
    __builtin_trap();
  }
  return memory;
}

// How the host gives us texts.
__attribute__((export_name("cabi_realloc"), used)) void *
sym_cabi_realloc(void *old, size_t old_bytes, size_t alignment, size_t bytes) {
  (void)alignment; // malloc's is larger than any that we are asked for.
  void *memory = abi_allocate(bytes);
  if (old) {
    memcpy(memory, old, old_bytes < bytes ? old_bytes : bytes);
  }
  return memory;
}

static char *format_text(const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int count = vsnprintf(NULL, 0, format, again);
  va_end(again);
  size_t bytes = count < 0 ? 1 : (size_t)count + 1;
  char *text = abi_allocate(bytes);
  vsnprintf(text, bytes, format, arguments);
  return text;
}

char *sym_text(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *text = format_text(format, arguments);
  va_end(arguments);
  return text;
}

#define LOG_FUNCTION(name, level)                                                                  \
  void name(const char *format, ...) {                                                             \
    va_list arguments;                                                                             \
    va_start(arguments, format);                                                                   \
    log_line(level, format_text(format, arguments));                                               \
    va_end(arguments);                                                                             \
  }
LOG_FUNCTION(sym_debug, DEBUG)
LOG_FUNCTION(sym_info, INFO)
LOG_FUNCTION(sym_warn, WARN)
LOG_FUNCTION(sym_error, ERROR)

// An assertion's text goes to the log: without this it would be lost.
_Noreturn void __assert_fail(const char *condition, const char *file, int line,
                             const char *function) {
  sym_error("assertion `%s` failed at %s:%d in %s", condition, file, line, function);
  __builtin_trap();
}

// ---- The answer -------------------------------------------------------------

static struct {
  const char *code;
  const char *message;
} failure;

void *sym_failed(const char *code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  failure.message = format_text(format, arguments);
  va_end(arguments);
  failure.code = code;
  return NULL;
}

void *sym_denied(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  failure.message = format_text(format, arguments);
  va_end(arguments);
  failure.code = "denied";
  return NULL;
}

abi_text abi_of(const char *text) { return (abi_text){(char *)text, strlen(text)}; }

abi_answer *abi_end(const char *function, const void *value) {
  // What printf keeps until a line ends.
  fflush(stdout);
  abi_answer *answer = abi_allocate(sizeof *answer);
  memset(answer, 0, sizeof *answer);
  // A failure is never taken back by an answer: it may be a denial.
  if (value && !failure.code) {
    return answer;
  }
  if (!failure.code) {
    sym_failed("failed", "%s returned NULL without sym_denied or sym_failed", function);
  }
  answer->kind = ABI_FAILURE;
  answer->value.failure.code = abi_of(failure.code);
  answer->value.failure.message = abi_of(failure.message);
  return answer;
}

sym_steps *sym_no_steps(void) {
  sym_steps *steps = abi_allocate(sizeof *steps);
  memset(steps, 0, sizeof *steps);
  return steps;
}

// Room for one more: twice as much when it is full, which is at powers of two.
static void *grow(void *items, size_t count, size_t bytes) {
  if (count & (count - 1)) {
    return items;
  }
  void *larger = abi_allocate((count ? count * 2 : 1) * bytes);
  if (count) {
    memcpy(larger, items, count * bytes);
  }
  return larger;
}

static void add_step(sym_steps *steps, uint8_t kind, const char *text) {
  steps->items = grow(steps->items, steps->count, sizeof *steps->items);
  steps->items[steps->count++] = (abi_step){.kind = kind, .text = abi_of(sym_text("%s", text))};
}

void sym_grant_role(sym_steps *steps, const char *role) { add_step(steps, ABI_GRANT_ROLE, role); }

void sym_sql(sym_steps *steps, const char *sql) { add_step(steps, ABI_SQL, sql); }

static void add_argument(sym_steps *steps, uint8_t kind, const char *name, const char *value) {
  abi_step *step = steps->count ? &steps->items[steps->count - 1] : NULL;
  assert(step && step->kind == ABI_SQL && "a value needs a statement: call sym_sql first");
  step->arguments = grow(step->arguments, step->argument_count, sizeof *step->arguments);
  step->arguments[step->argument_count++] = (abi_argument){
      .name = abi_of(sym_text("%s", name)), .kind = kind, .value = abi_of(sym_text("%s", value))};
}

void sym_identifier(sym_steps *steps, const char *placeholder, const char *name) {
  add_argument(steps, ABI_IDENTIFIER, placeholder, name);
}

void sym_literal(sym_steps *steps, const char *placeholder, const char *text) {
  add_argument(steps, ABI_LITERAL, placeholder, text);
}

// ---- The request ------------------------------------------------------------

// With a NUL behind it. A NUL inside would cut it: whoever chose the text would
// then be somebody else for us than for the host.
const char *abi_read(abi_text text) {
  if (memchr(text.bytes, 0, text.count)) {
    return sym_failed("failed",
                      "the request has a text with a NUL in it, which a plugin in C can't read");
  }
  char *copy = abi_allocate(text.count + 1);
  memcpy(copy, text.bytes, text.count);
  copy[text.count] = 0;
  return copy;
}

static const char *read_optional(abi_optional_text text) {
  return text.is_some ? abi_read(text.value) : NULL;
}

static sym_pairs read_pairs(abi_pairs pairs) {
  sym_pair *items = abi_allocate(pairs.count * sizeof *items);
  for (size_t i = 0; i < pairs.count; i++) {
    items[i] = (sym_pair){abi_read(pairs.items[i].key), abi_read(pairs.items[i].value)};
  }
  return (sym_pairs){items, pairs.count};
}

static sym_actor read_actor(const abi_actor *actor) {
  return (sym_actor){
      .username = abi_read(actor->username),
      .name = read_optional(actor->name),
      .identities = read_pairs(actor->identities),
  };
}

const sym_request *abi_begin(const abi_request *raw) {
  sym_request *request = abi_allocate(sizeof *request);
  *request = (sym_request){
      .run_id = abi_read(raw->run_id),
      .strategy = abi_read(raw->strategy),
      .requester = read_actor(&raw->requester),
      .target = {abi_read(raw->target_name), read_optional(raw->target_label),
                 read_pairs(raw->target_settings)},
      .flow = abi_read(raw->flow),
      .reason = read_optional(raw->reason),
      .duration_seconds = raw->has_duration ? (int64_t)raw->duration_seconds : -1,
      .event_time = abi_read(raw->event_time),
      .context = read_pairs(raw->context),
      .event_json = abi_read(raw->event_json),
  };
  if (raw->has_approver) {
    sym_actor *approver = abi_allocate(sizeof *approver);
    *approver = read_actor(&raw->approver);
    request->approver = approver;
  }
  return failure.code ? NULL : request;
}

const char *sym_get(sym_pairs pairs, const char *key) {
  for (size_t i = 0; i < pairs.count; i++) {
    if (sym_equal(pairs.items[i].key, key)) {
      return pairs.items[i].value;
    }
  }
  return NULL;
}

const char *sym_config(const char *key) {
  abi_optional_text value = {0};
  abi_config_get(key, strlen(key), &value);
  return read_optional(value);
}

sym_pairs sym_config_all(void) {
  abi_pairs pairs = {0};
  abi_config_all(&pairs);
  return read_pairs(pairs);
}

bool sym_equal(const char *a, const char *b) { return strcmp(a, b) == 0; }

// ---- Email addresses --------------------------------------------------------

// Whether a blank (Unicode's White_Space) or a control character begins here, in
// UTF-8.
static bool is_unclear(const unsigned char *at) {
  if (at[0] <= 0x20 || at[0] == 0x7f) {
    return true;
  }
  if (at[0] == 0xc2) {
    return at[1] <= 0xa0;
  }
  if (at[0] == 0xe1) {
    return at[1] == 0x9a && at[2] == 0x80;
  }
  if (at[0] == 0xe2) {
    return (at[1] == 0x80 &&
            (at[2] <= 0x8a || at[2] == 0xa8 || at[2] == 0xa9 || at[2] == 0xaf)) ||
           (at[1] == 0x81 && at[2] == 0x9f);
  }
  return at[0] == 0xe3 && at[1] == 0x80 && at[2] == 0x80;
}

bool sym_parse_email(const char *text, sym_email *email) {
  const char *at = strchr(text, '@');
  if (!at || at == text || !at[1] || strchr(at + 1, '@')) {
    return false;
  }
  for (const char *c = text; *c; c++) {
    if (is_unclear((const unsigned char *)c)) {
      return false;
    }
  }
  *email = (sym_email){sym_text("%.*s", (int)(at - text), text), sym_text("%s", at + 1)};
  return true;
}

// Only ASCII letters are compared without case: beyond them, letters that look
// alike become the same one.
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool sym_is_in(sym_email email, const char *domain) {
  const char *own = email.domain;
  while (*own && lower(*own) == lower(*domain)) {
    own++;
    domain++;
  }
  return !*own && !*domain;
}
