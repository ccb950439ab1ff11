// What the configuration orders, in both functions.
#include "orders.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool obey(const sym_request *request) {
  const char *line = sym_config("log");
  if (line) {
    sym_info("%s", line);
  }
  if (sym_config("levels")) {
    sym_debug("one");
    sym_info("two");
    sym_warn("three");
    sym_error("four");
  }
  line = sym_config("print");
  if (line) {
    printf("%s\n", line);
  }
  const char *order = sym_config("do");
  if (!order) {
    return true;
  }
  if (sym_equal(order, "deny")) {
    return sym_denied("Denied: %s", request->requester.username);
  }
  if (sym_equal(order, "fail")) {
    return sym_failed("out-of-order", "Call the operator.");
  }
  assert(!sym_equal(order, "panic") && "out of cheese");
  if (sym_equal(order, "loop")) {
    for (volatile int i = 0;; i = i ^ 1) {
    }
  }
  if (sym_equal(order, "memory")) {
    for (volatile char *memory;;) {
      memory = malloc(1 << 20);
      *memory = 1;
    }
  }
  if (sym_equal(order, "chatter")) {
    for (int i = 0; i < 1000; i++) {
      sym_info("line %d", i);
    }
  }
  return true;
}

const char *flood(void) {
  enum { COUNT = 2 << 20 };
  const char *order = sym_config("do");
  if (!order || !sym_equal(order, "flood")) {
    return NULL;
  }
  char *text = malloc(COUNT + 1);
  memset(text, 'x', COUNT);
  text[COUNT] = 0;
  return text;
}
