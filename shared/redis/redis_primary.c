#include "redis_primary_priv.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bell.h"
#include "base/clock.h"
#include "base/must.h"
#include "base/thread.h"
#include "log/log.h"

struct redis_membership {
    struct redis_primary *primary;
    struct redis_node node;
    int fd;
    atomic_bool has_ended;
    LIST_ENTRY(redis_membership) next;
};

static _Atomic uint64_t changes;

/* Static, because all connections of a process are to leave a primary together. */
static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct redis_primary *of_process;

uint64_t redis_primary_changes(void)
{
    return atomic_load(&changes);
}

/* ---- One for all -------------------------------------------------------------------------------
 */

static void free_it(struct redis_primary *primary)
{
    if (primary->bell >= 0)
        (void)close(primary->bell);
    (void)pthread_cond_destroy(&primary->learnt);
    (void)pthread_mutex_destroy(&primary->lock);
    explicit_bzero(primary, sizeof *primary);
    free(primary);
}

static struct redis_primary *make(const struct redis_url *url, const char *password)
{
    struct redis_primary *primary = calloc(1, sizeof *primary);
    pthread_condattr_t monotonic;

    if (primary == NULL)
        return NULL;
    memcpy(primary->sentinels, url->sentinels, sizeof primary->sentinels);
    primary->sentinel_count = url->sentinel_count;
    memcpy(primary->service, url->service, sizeof primary->service);
    (void)snprintf(primary->password, sizeof primary->password, "%s", password);
    LIST_INIT(&primary->members);
    (void)pthread_mutex_init(&primary->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&primary->learnt, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    primary->bell = bell_new();
    if (primary->bell >= 0)
        return primary;
    free_it(primary);
    return NULL;
}

struct redis_primary *redis_primary_join(const struct redis_url *url, const char *password)
{
    struct redis_primary *primary;

    (void)pthread_mutex_lock(&process_lock);
    if (of_process == NULL)
        of_process = make(url, password);
    primary = of_process;
    if (primary != NULL) {
        MUST(strcmp(primary->service, url->service) == 0);
        primary->users++;
    }
    (void)pthread_mutex_unlock(&process_lock);
    return primary;
}

static void stop(struct redis_primary *primary)
{
    if (!primary->is_started)
        return;
    (void)pthread_mutex_lock(&primary->lock);
    primary->ends = true;
    (void)pthread_mutex_unlock(&primary->lock);
    bell_ring(primary->bell);
    (void)pthread_join(primary->thread, NULL);
}

void redis_primary_leave(struct redis_primary **primary)
{
    if (*primary == NULL)
        return;
    (void)pthread_mutex_lock(&process_lock);
    if (--(*primary)->users == 0) {
        of_process = NULL;
        stop(*primary);
        free_it(*primary);
    }
    (void)pthread_mutex_unlock(&process_lock);
    *primary = NULL;
}

/* ---- What is known; all under the lock ---------------------------------------------------------
 */

/* All connections but those to this node, which may be NULL. */
static void leave_others(struct redis_primary *primary, const struct redis_node *node)
{
    struct redis_membership *member;

    LIST_FOREACH(member, &primary->members, next) {
        if (node != NULL && redis_node_is_same(&member->node, node))
            continue;
        atomic_store(&member->has_ended, true);
        (void)shutdown(member->fd, SHUT_RDWR);
    }
}

static void change_to(struct redis_primary *primary, const struct redis_node *node)
{
    char now[REDIS_NODE_TEXT_SIZE], before[REDIS_NODE_TEXT_SIZE];

    if (primary->has_primary && redis_node_is_same(&primary->primary, node))
        return;
    redis_node_write(before, &primary->primary);
    redis_node_write(now, node);
    primary->primary = *node;
    if (primary->has_primary)
        log_warn("redis: the primary is %s now, and no longer %s", now, before);
    else
        log_info("redis: the primary is %s", now);
    primary->has_primary = true;
    if (primary->is_used) {
        leave_others(primary, &primary->primary);
        atomic_fetch_add(&changes, 1);
    }
    primary->is_used = false;
    primary->suspended_until_ms = 0;
}

void redis_primary_suspend(struct redis_primary *primary, int64_t now_ms)
{
    (void)pthread_mutex_lock(&primary->lock);
    primary->suspended_until_ms = now_ms + REDIS_PRIMARY_SUSPENDED_MS;
    leave_others(primary, NULL);
    (void)pthread_mutex_unlock(&primary->lock);
}

static bool is_suspended(const struct redis_primary *primary,
                         struct redis_sentinel_trouble *trouble)
{
    if (clock_monotonic_ms() >= primary->suspended_until_ms)
        return false;
    trouble->what = "its Sentinels are making another one the primary";
    trouble->refused = false;
    return true;
}

void redis_primary_learn(struct redis_primary *primary, const struct redis_primary_news *news)
{
    const struct redis_sentinel_answer *answer = news->answer;
    bool is_other;

    (void)pthread_mutex_lock(&primary->lock);
    primary->is_current = answer != NULL;
    primary->trouble = news->trouble;
    primary->answered = news->answered;
    primary->settled = news->settled;
    if (answer != NULL) {
        is_other = !redis_node_is_same(&answer->primary, &primary->answer.primary);
        primary->answer = *answer;
        if (is_other)
            change_to(primary, &answer->primary);
    }
    (void)pthread_cond_broadcast(&primary->learnt);
    (void)pthread_mutex_unlock(&primary->lock);
}

static bool is_started(struct redis_primary *primary)
{
    if (!primary->is_started)
        primary->is_started =
            thread_start(&primary->thread, "sentinels", redis_primary_watch, primary);
    return primary->is_started;
}

/* Waits for answers to a new question, for at most REDIS_PRIMARY_ASK_MS. Whether there is one. */
static bool ask(struct redis_primary *primary)
{
    uint64_t question = ++primary->question;
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += REDIS_PRIMARY_ASK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    bell_ring(primary->bell);
    while (primary->settled < question &&
           pthread_cond_timedwait(&primary->learnt, &primary->lock, &until) == 0)
        continue;
    return primary->is_current && primary->answered >= question;
}

static bool is_named(const struct redis_primary *primary, const struct redis_node *node)
{
    return redis_node_is_same(node, &primary->answer.primary);
}

static bool may_hop(const struct redis_primary *primary, const struct redis_node *from,
                    const struct redis_node *to)
{
    return primary->is_current && redis_sentinel_knows(&primary->answer, to) &&
           (is_named(primary, from) || redis_node_is_same(from, &primary->primary));
}

/* ---- For those who connect ---------------------------------------------------------------------
 */

static void say_why(const struct redis_primary *primary, struct redis_sentinel_trouble *trouble)
{
    *trouble = primary->trouble;
    if (trouble->what == NULL)
        trouble->what = "none of its Sentinels answers";
}

static bool may_use(const struct redis_primary *primary, bool is_known,
                    struct redis_sentinel_trouble *trouble)
{
    if (is_known)
        return !is_suspended(primary, trouble);
    say_why(primary, trouble);
    return false;
}

bool redis_primary_find(struct redis_primary *primary, bool other, struct redis_node *node,
                        struct redis_sentinel_trouble *trouble)
{
    bool may = false;

    trouble->what = "no thread can be started";
    trouble->refused = false;
    (void)pthread_mutex_lock(&primary->lock);
    if (is_started(primary)) {
        may = may_use(primary, primary->is_current || ask(primary), trouble);
        *node = other ? primary->answer.primary : primary->primary;
    }
    (void)pthread_mutex_unlock(&primary->lock);
    return may;
}

bool redis_primary_may_hop(struct redis_primary *primary, const struct redis_node *from,
                           const struct redis_node *to)
{
    bool may;

    (void)pthread_mutex_lock(&primary->lock);
    may = may_hop(primary, from, to);
    (void)pthread_mutex_unlock(&primary->lock);
    return may;
}

static struct redis_membership *enter(struct redis_primary *primary, const struct redis_node *node,
                                      int fd)
{
    struct redis_membership *member = calloc(1, sizeof *member);

    if (member == NULL)
        return NULL;
    member->primary = primary;
    member->node = *node;
    member->fd = fd;
    LIST_INSERT_HEAD(&primary->members, member, next);
    primary->is_used = true;
    return member;
}

struct redis_membership *redis_primary_settle(struct redis_primary *primary,
                                              const struct redis_node *node,
                                              const struct redis_node *from, int fd,
                                              struct redis_sentinel_trouble *trouble)
{
    struct redis_membership *member = NULL;
    bool may;

    (void)pthread_mutex_lock(&primary->lock);
    may = may_use(primary, ask(primary), trouble);
    if (may && (is_named(primary, node) || redis_node_is_same(node, &primary->primary) ||
                (from != NULL && may_hop(primary, from, node)))) {
        change_to(primary, node);
        member = enter(primary, node, fd);
        trouble->what = "out of memory";
    } else if (may) {
        trouble->what = "the Sentinels name another one now";
        trouble->refused = false;
    }
    (void)pthread_mutex_unlock(&primary->lock);
    if (member != NULL) {
        (void)pthread_mutex_lock(&process_lock);
        primary->users++;
        (void)pthread_mutex_unlock(&process_lock);
    }
    return member;
}

void redis_membership_end(struct redis_membership **membership)
{
    struct redis_membership *member = *membership;
    struct redis_primary *primary;

    if (member == NULL)
        return;
    primary = member->primary;
    (void)pthread_mutex_lock(&primary->lock);
    LIST_REMOVE(member, next);
    (void)pthread_mutex_unlock(&primary->lock);
    free(member);
    *membership = NULL;
    redis_primary_leave(&primary);
}

bool redis_membership_has_ended(const struct redis_membership *membership)
{
    return membership != NULL && atomic_load(&membership->has_ended);
}
