// What the host passes and takes: package sym:postgres@0.1.0 of wit/, as the
// component model's canonical ABI lays it out in 32-bit memory.
//
// No part of what a plugin uses: that is sym.h.
#ifndef SYM_ABI_H
#define SYM_ABI_H

#include "sym.h"

#define SYM_PACKAGE(interface) "sym:postgres/" interface "@0.1.0"
#define SYM_IMPORT(interface, function) \
  __attribute__((import_module(SYM_PACKAGE(interface)), import_name(function)))
#define SYM_EXPORT(name) __attribute__((export_name(name)))

typedef struct {
  char *bytes;
  size_t count;
} abi_text;

typedef struct {
  uint8_t is_some;
  abi_text value;
} abi_optional_text;

typedef struct {
  abi_text key;
  abi_text value;
} abi_pair;

typedef struct {
  abi_pair *items;
  size_t count;
} abi_pairs;

typedef struct {
  abi_text username;
  abi_optional_text name;
  abi_pairs identities;
} abi_actor;

typedef struct {
  abi_text run_id;
  abi_text strategy;
  abi_actor requester;
  uint8_t has_approver;
  abi_actor approver;
  abi_text target_name;
  abi_optional_text target_label;
  abi_pairs target_settings;
  abi_text flow;
  abi_optional_text reason;
  uint8_t has_duration;
  uint32_t duration_seconds;
  abi_text event_time;
  abi_pairs context;
  abi_text event_json;
} abi_request;

enum { ABI_IDENTIFIER = 0, ABI_LITERAL = 1 };

typedef struct {
  abi_text name;
  uint8_t kind;
  abi_text value;
} abi_argument;

enum { ABI_GRANT_ROLE = 0, ABI_SQL = 1 };

typedef struct {
  uint8_t kind;
  // The role, or the statement's SQL.
  abi_text text;
  // The statement's values.
  abi_argument *arguments;
  size_t argument_count;
} abi_step;

struct sym_steps {
  abi_step *items;
  size_t count;
};

enum { ABI_OK = 0, ABI_FAILURE = 1 };

typedef struct {
  uint8_t kind;
  union {
    abi_text user;
    sym_steps steps;
    struct {
      abi_text code;
      abi_text message;
    } failure;
  } value;
} abi_answer;

_Static_assert(sizeof(abi_request) == 156, "the layout of `request`");
_Static_assert(sizeof(abi_step) == 20, "the layout of `step`");
_Static_assert(sizeof(abi_argument) == 20, "the layout of an argument");
_Static_assert(sizeof(abi_answer) == 20, "the layout of an answer");

// Memory that is never freed: an instance lives for one call.
void *abi_allocate(size_t bytes);

// The request for a plugin's function. NULL, with the answer a failure, where a
// text has a NUL in it.
const sym_request *abi_begin(const abi_request *request);

// A text of the host's. NULL, with the answer a failure, where it has a NUL in it.
const char *abi_read(abi_text text);

// The text as the host takes it.
abi_text abi_of(const char *text);

// The answer: `value`, or the failure that was set. `function` is for the
// message where neither is there.
abi_answer *abi_end(const char *function, const void *value);

#endif
