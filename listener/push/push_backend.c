#include "push_backend.h"

#define ROW(X, BACKEND, backend) &backend##_backend,
const struct push_backend *const push_backends[] = {STATS_BACKENDS(ROW, )};
#undef ROW

const unsigned push_backends_count = sizeof push_backends / sizeof push_backends[0];
