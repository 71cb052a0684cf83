#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "redis/redis_fault.h"
#include "registry_priv.h"

#define TELL_EVERY_MS 60000

#define TEXT_OF(number) #number
#define TEXT(macro)     TEXT_OF(macro)
#define WAIT_MS         TEXT(REGISTRY_CONFIRM_MS)

void registry_confirm_words(const char *words[REGISTRY_CONFIRM_WORDS],
                            size_t lens[REGISTRY_CONFIRM_WORDS])
{
    static const char *const wait[REGISTRY_CONFIRM_WORDS] = {"WAIT", "1", WAIT_MS};

    for (size_t i = 0; i < REGISTRY_CONFIRM_WORDS; i++) {
        words[i] = wait[i];
        lens[i] = strlen(wait[i]);
    }
}

static void tell_unconfirmed(struct stats *stats, uint64_t calls)
{
    static struct log_pace pace;

    stats_add(stats, STAT_REGISTRATIONS_UNCONFIRMED, calls);
    if (calls > 0 && log_is_due(&pace, clock_monotonic_ms(), TELL_EVERY_MS))
        log_warn(
            "registry: no replica has confirmed a registration within " WAIT_MS
            " ms, so that it is lost if the primary dies now: see that a replica is connected");
}

static void tell_not_granted(void)
{
    static struct log_pace pace;

    if (log_is_due(&pace, clock_monotonic_ms(), TELL_EVERY_MS))
        log_error("registry: Redis refuses WAIT, so that no replica confirms a registration: grant "
                  "+wait (compare users.acl.example)");
}

/* What a primary says that is demoted meanwhile; what it has done last may be lost. */
static bool is_demoted(const char *error)
{
    static const char begins[] = "UNBLOCKED";

    return strncmp(error, begins, sizeof begins - 1) == 0;
}

bool registry_confirm_read(struct stats *stats, enum redis_status status, const redisReply *reply,
                           const char *error, uint64_t calls)
{
    if (status == REDIS_ERROR_REPLY && is_demoted(error))
        return false;
    if (status == REDIS_ERROR_REPLY && redis_denial_of(error) != REDIS_DENIAL_NONE)
        tell_not_granted();
    if (status != REDIS_OK_REPLY || reply->type != REDIS_REPLY_INTEGER || reply->integer <= 0)
        tell_unconfirmed(stats, calls);
    return true;
}
