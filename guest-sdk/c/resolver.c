// Exports `resolve-user`: calls the plugin's resolve_user.
#include "abi.h"

SYM_EXPORT(SYM_PACKAGE("resolver") "#resolve-user")
abi_answer *sym_export_resolve_user(const abi_request *raw) {
  const sym_request *request = abi_begin(raw);
  const char *user = request ? resolve_user(request) : NULL;
  abi_answer *answer = abi_end("resolve_user", user);
  if (answer->kind == ABI_OK) {
    answer->value.user = abi_of(user);
  }
  return answer;
}
