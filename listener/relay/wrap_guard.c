#include "wrap_guard.h"

void wrap_guard_refused(struct wrap_guard *guard, enum subscription_refusal refusal)
{
    guard->refused |=
        refusal == SUBSCRIPTION_REFUSED_AUTH_REQUIRED || refusal == SUBSCRIPTION_REFUSED_RESTRICTED;
}

void wrap_guard_shown(struct wrap_guard *guard)
{
    guard->shown = true;
}

bool wrap_guard_is_to_warn(struct wrap_guard *guard, int64_t live_ms)
{
    if (guard->warned || guard->shown ||
        (!guard->refused && live_ms < INT64_C(1000) * WRAP_GUARD_PATIENCE_S))
        return false;
    guard->warned = true;
    return true;
}

bool wrap_guard_may_hide(const struct wrap_guard *guard)
{
    return (guard->refused || guard->warned) && !guard->shown;
}
