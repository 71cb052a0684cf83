#include "redis_primary_priv.h"

#include "base/bell.h"
#include "base/clock.h"
#include "log/log.h"
#include "redis_sentinel_link.h"

#define WAIT_MAX_MS   1000
#define TELL_EVERY_MS 60000

/* A Sentinel, to which there are two connections. */
struct watched {
    struct redis_sentinel_link *asks, *hears;
};

struct watcher {
    struct redis_primary *primary;
    struct watched sentinels[REDIS_URL_SENTINELS_MAX];
    size_t count;
    uint64_t question;
    uint64_t epoch; /* of the answer that counted last */
};

static bool add(struct watcher *watcher, const struct redis_node *node)
{
    struct watched *sentinel = &watcher->sentinels[watcher->count++];
    struct redis_sentinel_link_options options = {.kind = REDIS_SENTINEL_ASKS,
                                                  .node = node,
                                                  .password = watcher->primary->password,
                                                  .service = watcher->primary->service};

    sentinel->asks = redis_sentinel_link_new(&options);
    options.kind = REDIS_SENTINEL_HEARS;
    sentinel->hears = redis_sentinel_link_new(&options);
    return sentinel->asks != NULL && sentinel->hears != NULL;
}

static bool begin(struct watcher *watcher)
{
    for (size_t i = 0; i < watcher->primary->sentinel_count; i++)
        if (!add(watcher, &watcher->primary->sentinels[i]))
            return false;
    return true;
}

static void end(struct watcher *watcher)
{
    for (size_t i = 0; i < watcher->count; i++) {
        redis_sentinel_link_free(&watcher->sentinels[i].asks);
        redis_sentinel_link_free(&watcher->sentinels[i].hears);
    }
    watcher->count = 0;
}

/* ---- What they say -----------------------------------------------------------------------------
 */

/* One that an operator must mend comes before one that does not answer. */
static struct redis_sentinel_trouble worst_of(const struct watcher *watcher)
{
    struct redis_sentinel_trouble worst = {.what = NULL}, trouble;

    for (size_t i = 0; i < watcher->count; i++) {
        trouble = redis_sentinel_link_trouble(watcher->sentinels[i].asks);
        if (trouble.what != NULL && trouble.refused)
            return trouble;
        trouble = redis_sentinel_link_trouble(watcher->sentinels[i].hears);
        if (trouble.what != NULL && trouble.refused)
            worst = trouble;
    }
    return worst;
}

/* While the others do, nobody else would tell of it. */
static void tell_of_one(const struct watcher *watcher, int64_t now_ms)
{
    static struct log_pace pace;
    struct redis_sentinel_trouble worst = worst_of(watcher);

    if (worst.what != NULL && log_is_due(&pace, now_ms, TELL_EVERY_MS))
        log_error("redis: a Sentinel of service %s is of no use: %s", watcher->primary->service,
                  worst.what);
}

static void learn(struct watcher *watcher, int64_t now_ms)
{
    static const char missed[] = "only Sentinels answer that have missed a fail-over";
    const struct redis_sentinel_answer *answers[REDIS_URL_SENTINELS_MAX], *answer;
    struct redis_primary_news news = {.settled = watcher->question};
    size_t count = 0;

    for (size_t i = 0; i < watcher->count; i++) {
        const struct redis_sentinel_link *asks = watcher->sentinels[i].asks;

        if (redis_sentinel_link_is_awaited(asks, watcher->question, now_ms))
            news.settled = 0;
        answer = redis_sentinel_link_answer(asks);
        if (answer == NULL)
            continue;
        answers[count++] = answer;
        if (redis_sentinel_link_answered(asks) > news.answered)
            news.answered = redis_sentinel_link_answered(asks);
    }
    news.answer = redis_sentinel_choose(answers, count, watcher->count, watcher->epoch);
    if (news.answer != NULL) {
        watcher->epoch = news.answer->epoch;
        tell_of_one(watcher, now_ms);
    } else {
        news.trouble = worst_of(watcher);
        if (count > 0)
            news.trouble = (struct redis_sentinel_trouble){.what = missed};
    }
    redis_primary_learn(watcher->primary, &news);
}

/* ---- The thread --------------------------------------------------------------------------------
 */

/* Takes over the newest question. False: it is to end. */
static bool look_up(struct watcher *watcher)
{
    struct redis_primary *primary = watcher->primary;
    bool ends;

    (void)pthread_mutex_lock(&primary->lock);
    ends = primary->ends;
    watcher->question = primary->question;
    (void)pthread_mutex_unlock(&primary->lock);
    return !ends;
}

/* Makes a question of its own of what was heard. */
static void ask_anew(struct watcher *watcher)
{
    struct redis_primary *primary = watcher->primary;

    (void)pthread_mutex_lock(&primary->lock);
    watcher->question = ++primary->question;
    (void)pthread_mutex_unlock(&primary->lock);
}

static int64_t earlier(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* Returns when to be called again. */
static int64_t run_all(struct watcher *watcher, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    enum redis_sentinel_news news = REDIS_SENTINEL_NO_NEWS, heard;

    for (size_t i = 0; i < watcher->count; i++) {
        struct redis_sentinel_link *hears = watcher->sentinels[i].hears;

        next_ms = earlier(next_ms, redis_sentinel_link_run(hears, 0, now_ms));
        heard = redis_sentinel_link_heard(hears);
        news = heard > news ? heard : news;
    }
    if (news == REDIS_SENTINEL_SWITCHES)
        redis_primary_suspend(watcher->primary, now_ms);
    if (news == REDIS_SENTINEL_SWITCHED)
        ask_anew(watcher);
    for (size_t i = 0; i < watcher->count; i++)
        next_ms = earlier(next_ms, redis_sentinel_link_run(watcher->sentinels[i].asks,
                                                           watcher->question, now_ms));
    return next_ms;
}

static void wait_for_them(const struct watcher *watcher, int64_t wait_ms)
{
    struct pollfd fds[2 * REDIS_URL_SENTINELS_MAX + 1];
    nfds_t count = 0;

    fds[count++] = (struct pollfd){.fd = watcher->primary->bell, .events = POLLIN};
    for (size_t i = 0; i < watcher->count; i++) {
        fds[count++] = redis_sentinel_link_pollfd(watcher->sentinels[i].asks);
        fds[count++] = redis_sentinel_link_pollfd(watcher->sentinels[i].hears);
    }
    (void)poll(fds, count, (int)(wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS));
}

void *redis_primary_watch(void *arg)
{
    struct watcher watcher = {.primary = arg};
    int64_t next_ms, now_ms;

    if (!begin(&watcher)) {
        log_error("redis: out of memory: no Sentinel is asked");
        end(&watcher);
    }
    while (look_up(&watcher)) {
        next_ms = run_all(&watcher, clock_monotonic_ms());
        now_ms = clock_monotonic_ms();
        learn(&watcher, now_ms);
        if (next_ms > now_ms)
            wait_for_them(&watcher, next_ms - now_ms);
        bell_hush(watcher.primary->bell);
    }
    end(&watcher);
    return NULL;
}
