#include "coverage.h"

#include <string.h>

void coverage_init(struct coverage *coverage, const struct settings_kinds *kinds)
{
    memset(coverage, 0, sizeof *coverage);
    coverage->count = kinds->count;
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        it->live_ms = it->before_ms = it->to_ms = COVERAGE_NONE;
        it->gap_ms = it->from_ms = it->cursor_ms = COVERAGE_NONE;
        catch_up_init(&it->catch_up, kinds->kind[i]);
    }
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t coverage_unix_s(const struct coverage *coverage, int64_t now_ms)
{
    return (now_ms + coverage->clock_ms) / 1000;
}

/* ---- Gaps ------------------------------------------------------------------------------------ */

static void add_gap(struct coverage_kind *kind, int64_t from, int64_t now)
{
    catch_up_add_gap(&kind->catch_up, from / 1000, now / 1000);
    if (kind->gap_ms == COVERAGE_NONE || from < kind->gap_ms)
        kind->gap_ms = from;
}

/* The second in which it begins was before it for the most part. */
static void add_first_gap(struct coverage_kind *kind, int64_t from, int64_t now)
{
    catch_up_add_gap_after(&kind->catch_up, from / 1000 + 1, now / 1000);
    kind->gap_ms = from;
}

static void cancel(struct coverage_kind *kind)
{
    catch_up_cancel(&kind->catch_up);
    kind->gap_ms = COVERAGE_NONE;
}

/* ---- What happens to subscriptions ----------------------------------------------------------- */

static void go_live(struct coverage_kind *kind, int64_t now)
{
    int64_t had = kind->distrusted ? kind->to_ms : later(kind->to_ms, kind->cursor_ms);

    if (had >= now)
        had = now;
    else if (kind->connects && had == kind->to_ms && now - had < COVERAGE_FIRST_MS)
        had = now;
    else if (kind->begins && had == kind->to_ms)
        add_first_gap(kind, had, now);
    else
        add_gap(kind, had, now);
    kind->before_ms = kind->to_ms;
    kind->live_ms = kind->to_ms = now;
    kind->begins = kind->connects = kind->distrusted = false;
}

void coverage_live(struct coverage *coverage, size_t kind, int64_t now_ms)
{
    struct coverage_kind *it = &coverage->kind[kind];

    it->live = true;
    if (coverage->known)
        go_live(it, now_ms + coverage->clock_ms);
}

void coverage_was_not_live(struct coverage *coverage, size_t kind)
{
    struct coverage_kind *it = &coverage->kind[kind];

    if (it->live && coverage->known) {
        it->to_ms = it->before_ms;
        it->distrusted = true;
    }
    it->live = false;
    catch_up_interrupt(&it->catch_up);
}

void coverage_closed(struct coverage *coverage, size_t kind)
{
    coverage->kind[kind].live = false;
    catch_up_interrupt(&coverage->kind[kind].catch_up);
}

void coverage_down(struct coverage *coverage)
{
    for (size_t i = 0; i < coverage->count; i++)
        coverage_closed(coverage, i);
}

void coverage_taken(struct coverage *coverage, int64_t heard_ms)
{
    if (!coverage->known)
        return;
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        if (it->live)
            it->to_ms = later(it->to_ms, heard_ms + coverage->clock_ms);
        if (it->catch_up.state == CATCH_UP_IDLE)
            it->gap_ms = COVERAGE_NONE;
    }
}

void coverage_lost(struct coverage *coverage, int64_t now_ms)
{
    int64_t now = now_ms + coverage->clock_ms;

    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        if (!it->live && it->gap_ms == COVERAGE_NONE)
            continue;
        catch_up_repeat(&it->catch_up);
        add_gap(it, it->gap_ms != COVERAGE_NONE ? it->gap_ms : it->to_ms, now);
        it->live_ms = now;
    }
}

/* ---- The cursors in Redis -------------------------------------------------------------------- */

void coverage_report(const struct coverage *coverage, bool nothing,
                     struct registry_cursor cursors[SETTINGS_MAX_KINDS])
{
    for (size_t i = 0; i < coverage->count; i++) {
        const struct coverage_kind *it = &coverage->kind[i];
        bool told = coverage->known && !it->begins && !nothing;

        cursors[i].kind = it->catch_up.kind;
        cursors[i].from_ms = told ? it->from_ms : COVERAGE_NONE;
        cursors[i].to_ms = it->gap_ms != COVERAGE_NONE ? it->gap_ms : it->to_ms;
        if (!told)
            cursors[i].to_ms = COVERAGE_NONE;
    }
}

/* A kind's data begin now. */
static void begin_now(struct coverage_kind *kind, int64_t now)
{
    cancel(kind);
    kind->before_ms = kind->to_ms = kind->from_ms = now;
    kind->begins = !kind->live;
    kind->distrusted = false;
    if (kind->live)
        kind->live_ms = now;
}

static void begin(struct coverage_kind *kind, int64_t now)
{
    if (kind->cursor_ms == COVERAGE_NONE) {
        begin_now(kind, now);
        kind->connects = !kind->live;
        return;
    }
    kind->before_ms = kind->to_ms = kind->from_ms = kind->cursor_ms;
    if (kind->live)
        go_live(kind, now);
}

/* Time that our clock did not count, as of a machine that slept, or another clock of Redis's: what
 * came meanwhile is in doubt. */
static void jump(struct coverage_kind *kind, int64_t by_ms, int64_t now)
{
    int64_t back = by_ms < 0 ? -by_ms : 0;

    kind->to_ms -= back;
    kind->before_ms -= back;
    kind->from_ms -= back;
    if (kind->gap_ms != COVERAGE_NONE)
        kind->gap_ms -= back;
    if (kind->live) {
        add_gap(kind, kind->to_ms, now);
        kind->live_ms = now;
    }
}

/* Another listener has taken what is being caught up on here. */
static void drop_what_others_had(struct coverage_kind *kind)
{
    if (kind->live && kind->cursor_ms != COVERAGE_NONE &&
        kind->cursor_ms >= kind->live_ms + COVERAGE_SURE_MS)
        cancel(kind);
}

bool coverage_learn(struct coverage *coverage, const struct registry_now *now,
                    const struct registry_cursor cursors[SETTINGS_MAX_KINDS], int64_t now_ms)
{
    int64_t clock_ms = now->now_ms - now_ms, by_ms = clock_ms - coverage->clock_ms;
    bool lost = coverage->known && strcmp(coverage->epoch, now->epoch) != 0;

    coverage->sure = now->epoch[0] != '\0';
    if (!coverage->sure)
        return false; /* nobody has noticed yet: what is said of now is said soon */
    coverage->clock_ms = clock_ms;
    memcpy(coverage->epoch, now->epoch, sizeof coverage->epoch);
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        it->cursor_ms = cursors[i].cursor_ms;
        if (lost)
            begin_now(it, now->now_ms);
        else if (!coverage->known)
            begin(it, now->now_ms);
        else if (by_ms > COVERAGE_JUMP_MS || by_ms < -COVERAGE_JUMP_MS)
            jump(it, by_ms, now->now_ms);
        else
            drop_what_others_had(it);
    }
    coverage->known = true;
    return lost;
}

void coverage_unsure(struct coverage *coverage)
{
    coverage->sure = false;
}
