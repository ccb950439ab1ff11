// Exports `setup`: calls the plugin's setup.
#include "abi.h"

// Both parameters: too many fields for the ABI to pass them one by one.
typedef struct {
  abi_request request;
  abi_text username;
} abi_setup;

SYM_EXPORT(SYM_PACKAGE("target-setup") "#setup")
abi_answer *sym_export_setup(const abi_setup *raw) {
  const sym_request *request = abi_begin(&raw->request);
  const char *username = abi_read(raw->username);
  const sym_steps *steps = request && username ? setup(request, username) : NULL;
  abi_answer *answer = abi_end("setup", steps);
  if (answer->kind == ABI_OK) {
    answer->value.steps = *steps;
  }
  return answer;
}
