// What the configuration orders, in both functions.
#ifndef ORDERS_H
#define ORDERS_H

#include "sym.h"

// false: the answer is the failure that was set.
bool obey(const sym_request *request);

// Two MiB where that is ordered, which is more than a plugin may answer.
const char *flood(void);

#endif
