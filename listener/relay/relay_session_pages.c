/* Which kind's page of stored events is asked for next, and when. */
#include "relay_session_priv.h"

#include <inttypes.h>

#include "base/random.h"
#include "log/log.h"

/* The kind whose page is outstanding, or else whose turn it is; `count` for none. Nothing new is
 * asked for while Redis takes no events, or may have lost its data. */
static size_t current_page(const struct relay_session *session)
{
    bool may_ask = relay_gaps_is_sure(session->gaps) && intake_held(session->options.intake) == 0;
    size_t next = session->count;
    int64_t least_ms = SUBSCRIPTION_NEVER;

    for (size_t i = 0; i < session->count; i++) {
        size_t kind = (session->turn + i) % session->count;
        const struct catch_up *page = relay_gaps_catch_up(session->gaps, kind);

        if (catch_up_is_busy(page))
            return kind;
        if (may_ask && relay_gaps_wants_page(session->gaps, kind) &&
            catch_up_due_ms(page) < least_ms) {
            least_ms = catch_up_due_ms(page);
            next = kind;
        }
    }
    return next;
}

/* When there is something to send for current_page(). */
static int64_t due_ms(const struct relay_session *session, size_t kind)
{
    const struct catch_up *page;
    int64_t due;

    if (kind == session->count)
        return SUBSCRIPTION_NEVER;
    page = relay_gaps_catch_up(session->gaps, kind);
    due = catch_up_due_ms(page);
    if (catch_up_is_busy(page))
        return due;
    if (due < session->verdict_ms) /* a relay may hide events until it has accepted our AUTH */
        due = session->verdict_ms;
    return due < session->page_ms ? session->page_ms : due;
}

int64_t relay_session_page_due_ms(const struct relay_session *session)
{
    return due_ms(session, current_page(session));
}

size_t relay_session_next_page_frame(struct relay_session *session, int64_t now_ms, char *out)
{
    size_t kind = current_page(session), len;
    struct catch_up *page;

    if (due_ms(session, kind) > now_ms)
        return 0;
    page = relay_gaps_catch_up(session->gaps, kind);
    len = catch_up_next_frame(page, now_ms, relay_gaps_latest_unix_s(session->gaps, now_ms),
                              random_up_to(UINT64_MAX), out);
    if (catch_up_is_asked(page)) {
        session->page_ms = now_ms + RELAY_SESSION_PAGE_MS;
        session->turn = (session->turn + 1) % session->count;
        relay_session_count(session, STAT_CATCH_UP_PAGES);
    }
    if (catch_up_is_idle(page))
        log_info("relay %s: caught up on kind %" PRIu32, session->options.name,
                 relay_session_kind(session, kind));
    return len;
}
