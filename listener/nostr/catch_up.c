#include "catch_up.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "event.h"

void catch_up_init(struct catch_up *catch_up, uint32_t kind)
{
    memset(catch_up, 0, sizeof *catch_up);
    catch_up->kind = kind;
}

/* ---- What is missing ------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Notes another pass, from the top down to here. */
static void go_again(struct catch_up *catch_up, int64_t since_s)
{
    catch_up->again_since_s = catch_up->again ? least(catch_up->again_since_s, since_s) : since_s;
    catch_up->again = true;
}

static void add(struct catch_up *catch_up, int64_t since_s)
{
    if (since_s < 0)
        since_s = 0;
    if (catch_up->state == CATCH_UP_IDLE) {
        catch_up->state = CATCH_UP_WAITING;
        catch_up->since_s = since_s;
        catch_up->until_s = CATCH_UP_TOP;
        catch_up->due_ms = 0;
        return;
    }
    catch_up->since_s = least(catch_up->since_s, since_s);
    if (catch_up->until_s != CATCH_UP_TOP)
        go_again(catch_up, catch_up->until_s);
}

static int64_t within_reach(int64_t from_s, int64_t now_s)
{
    return from_s < now_s - CATCH_UP_REACH_S ? now_s - CATCH_UP_REACH_S : from_s;
}

/* How far in the past an event may be dated. */
static int64_t back_s(uint32_t kind, int64_t slack_s)
{
    return kind == EVENT_GIFT_WRAP ? CATCH_UP_BACKDATE_S : slack_s;
}

int64_t catch_up_sent_by_s(uint32_t kind, int64_t created_at)
{
    return created_at + back_s(kind, CATCH_UP_SLACK_S);
}

static void add_gap(struct catch_up *catch_up, int64_t from_s, int64_t now_s, int64_t slack_s)
{
    add(catch_up, within_reach(from_s, now_s) - back_s(catch_up->kind, slack_s));
}

void catch_up_add_gap(struct catch_up *catch_up, int64_t from_s, int64_t now_s)
{
    add_gap(catch_up, from_s, now_s, CATCH_UP_SLACK_S);
}

void catch_up_add_first_gap(struct catch_up *catch_up, int64_t from_s, int64_t now_s)
{
    add_gap(catch_up, from_s, now_s, 0);
}

static bool is_cancelled(const struct catch_up *catch_up)
{
    return catch_up->since_s == INT64_MAX;
}

void catch_up_repeat(struct catch_up *catch_up)
{
    if (catch_up->state != CATCH_UP_IDLE && catch_up->until_s != CATCH_UP_TOP &&
        !is_cancelled(catch_up))
        go_again(catch_up, catch_up->since_s);
}

void catch_up_cancel(struct catch_up *catch_up)
{
    catch_up->again = false;
    if (catch_up->state == CATCH_UP_WAITING)
        catch_up->state = CATCH_UP_IDLE;
    catch_up->since_s = INT64_MAX; /* an outstanding page is the last */
}

/* Goes on behind an answered page: to the next one, the next pass, or the end. */
static void turn_page(struct catch_up *catch_up)
{
    catch_up->state = CATCH_UP_WAITING;
    if (catch_up->until_s >= catch_up->since_s)
        return;
    if (!catch_up->again) {
        catch_up->state = CATCH_UP_IDLE;
        return;
    }
    catch_up->again = false;
    catch_up->since_s = catch_up->again_since_s;
    catch_up->until_s = CATCH_UP_TOP;
}

/* The outstanding page will not be answered: it is asked for again, unless it has been cancelled.
 */
static void lose_page(struct catch_up *catch_up, int64_t due_ms)
{
    catch_up->due_ms = due_ms;
    if (is_cancelled(catch_up))
        turn_page(catch_up);
    else
        catch_up->state = CATCH_UP_WAITING;
}

void catch_up_interrupt(struct catch_up *catch_up)
{
    if (catch_up->state == CATCH_UP_ASKED) {
        lose_page(catch_up, 0);
    } else if (catch_up->state == CATCH_UP_ANSWERED) {
        turn_page(catch_up);
    }
}

void catch_up_hurry(struct catch_up *catch_up)
{
    if (catch_up->state == CATCH_UP_WAITING)
        catch_up->due_ms = 0;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

bool catch_up_is_idle(const struct catch_up *catch_up)
{
    return catch_up->state == CATCH_UP_IDLE;
}

bool catch_up_is_asked(const struct catch_up *catch_up)
{
    return catch_up->state == CATCH_UP_ASKED;
}

bool catch_up_is_busy(const struct catch_up *catch_up)
{
    return catch_up->state == CATCH_UP_ASKED || catch_up->state == CATCH_UP_ANSWERED;
}

/* A relay that did not answer in time is given longer: it may have much to look through. */
static int64_t patience_ms(const struct catch_up *catch_up)
{
    return (int64_t)SUBSCRIPTION_ANSWER_MS
           << (catch_up->backoff.failures < 2 ? catch_up->backoff.failures : 2);
}

static size_t ask(struct catch_up *catch_up, int64_t now_ms, int64_t unix_s, uint64_t random,
                  char *out)
{
    if (catch_up->until_s == CATCH_UP_TOP)
        catch_up->until_s = unix_s + CATCH_UP_AHEAD_S;
    (void)snprintf(catch_up->id, sizeof catch_up->id, "%016" PRIx64, random);
    catch_up->state = CATCH_UP_ASKED;
    catch_up->in_page = catch_up->unread = 0;
    catch_up->oldest_s = catch_up->until_s;
    catch_up->last_s[0] = catch_up->last_s[1] = INT64_MIN;
    catch_up->end_ms = now_ms + CATCH_UP_PAGE_MS;
    catch_up->due_ms = now_ms + patience_ms(catch_up);
    return (size_t)snprintf(out, CATCH_UP_FRAME_SIZE,
                            "[\"REQ\",\"%s\",{\"kinds\":[%" PRIu32 "],\"since\":%" PRId64
                            ",\"until\":%" PRId64 ",\"limit\":%d}]",
                            catch_up->id, catch_up->kind, catch_up->since_s, catch_up->until_s,
                            CATCH_UP_LIMIT);
}

size_t catch_up_next_frame(struct catch_up *catch_up, int64_t now_ms, int64_t unix_s,
                           uint64_t random, char out[CATCH_UP_FRAME_SIZE])
{
    if (catch_up_due_ms(catch_up) > now_ms)
        return 0;
    switch (catch_up->state) {
    case CATCH_UP_WAITING:
        return ask(catch_up, now_ms, unix_s, random, out);
    case CATCH_UP_ASKED: /* no EOSE in time */
        if (catch_up->in_page == 0) {
            catch_up_on_closed(catch_up, now_ms, random);
            return subscription_close_frame(catch_up->id, out);
        }
        catch_up_on_eose(catch_up, now_ms);
        /* fall through */
    case CATCH_UP_ANSWERED:
        turn_page(catch_up);
        return subscription_close_frame(catch_up->id, out);
    case CATCH_UP_IDLE:
        break;
    }
    return 0;
}

int64_t catch_up_due_ms(const struct catch_up *catch_up)
{
    switch (catch_up->state) {
    case CATCH_UP_IDLE:
        return SUBSCRIPTION_NEVER;
    case CATCH_UP_ANSWERED:
        return 0;
    default:
        return catch_up->due_ms;
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

bool catch_up_is(const struct catch_up *catch_up, const char *id, size_t len)
{
    return catch_up->state == CATCH_UP_ASKED && len == SUBSCRIPTION_ID_LEN &&
           memcmp(id, catch_up->id, len) == 0;
}

static void count(struct catch_up *catch_up, int64_t now_ms)
{
    catch_up->due_ms = now_ms + SUBSCRIPTION_ANSWER_MS;
    if (catch_up->due_ms > catch_up->end_ms)
        catch_up->due_ms = catch_up->end_ms;
    if (++catch_up->in_page >= CATCH_UP_PAGE_MAX)
        catch_up_on_eose(catch_up, now_ms);
}

bool catch_up_on_event(struct catch_up *catch_up, int64_t created_at, int64_t now_ms)
{
    if (created_at < catch_up->since_s || created_at > catch_up->until_s)
        return false;
    catch_up->oldest_s = least(catch_up->oldest_s, created_at);
    catch_up->last_s[0] = catch_up->last_s[1];
    catch_up->last_s[1] = created_at;
    catch_up->inclusive |= created_at == catch_up->until_s;
    count(catch_up, now_ms);
    return true;
}

void catch_up_on_unread(struct catch_up *catch_up, int64_t now_ms)
{
    if (catch_up->state != CATCH_UP_ASKED)
        return;
    catch_up->unread++;
    count(catch_up, now_ms);
}

/* The date down to which the page has given all there is. Events come newest first (NIP-01), but
 * for one that is new, dated back and put among them: so by the last. At the end of a page that may
 * have been cut, where it would hide the rest, by the later of the last two. A relay that has
 * another order is one whose pages do not get on by that. */
static int64_t reached_s(const struct catch_up *catch_up)
{
    int64_t reached = catch_up->last_s[1];

    if (catch_up->in_page >= CATCH_UP_LEAST_CAP && catch_up->last_s[0] > reached)
        reached = catch_up->last_s[0];
    return reached + 1 < catch_up->until_s ? reached : catch_up->oldest_s;
}

/* One second is added where `until` may be exclusive, for other events of the page's oldest second.
 */
static int64_t next_until_s(const struct catch_up *catch_up)
{
    int64_t next = reached_s(catch_up) + !catch_up->inclusive;

    if (next >= catch_up->until_s)
        next--;
    return next < catch_up->until_s ? next : catch_up->until_s - 1;
}

void catch_up_on_eose(struct catch_up *catch_up, int64_t now_ms)
{
    if (catch_up->state != CATCH_UP_ASKED)
        return;
    catch_up->state = CATCH_UP_ANSWERED;
    catch_up->due_ms = now_ms;
    memset(&catch_up->backoff, 0, sizeof catch_up->backoff);
    if (catch_up->in_page == 0)
        catch_up->until_s = catch_up->since_s - 1;
    else if (catch_up->unread == catch_up->in_page)
        catch_up->until_s -= CATCH_UP_STEP_S;
    else
        catch_up->until_s = next_until_s(catch_up);
}

void catch_up_on_closed(struct catch_up *catch_up, int64_t now_ms, uint64_t random)
{
    lose_page(catch_up, now_ms + relay_backoff_failed(&catch_up->backoff, 0, random));
}
