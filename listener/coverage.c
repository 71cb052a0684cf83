#include "coverage.h"

#include <string.h>

void coverage_init(struct coverage *coverage, const struct settings_kinds *kinds)
{
    memset(coverage, 0, sizeof *coverage);
    coverage->cursor_ms = coverage->from_ms = COVERAGE_NONE;
    coverage->count = kinds->count;
    for (size_t i = 0; i < coverage->count; i++) {
        coverage->kind[i].to_ms = COVERAGE_NONE;
        catch_up_init(&coverage->kind[i].catch_up, kinds->kind[i]);
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

/* Up to where the kind had all before it became live now. */
static int64_t had_ms(const struct coverage *coverage, const struct coverage_kind *kind)
{
    if (kind->refused && kind->to_ms != COVERAGE_NONE)
        return kind->to_ms; /* the cursor has moved on without it */
    return later(kind->to_ms, coverage->cursor_ms);
}

void coverage_live(struct coverage *coverage, size_t kind, int64_t now_ms)
{
    struct coverage_kind *it = &coverage->kind[kind];
    int64_t had = coverage->known ? had_ms(coverage, it) : COVERAGE_NONE;

    it->open = !coverage->known;
    it->live = true;
    it->refused = false;
    it->before_ms = it->to_ms;
    it->live_ms = it->to_ms = now_ms;
    if (had == COVERAGE_NONE || had > now_ms)
        had = now_ms;
    if (had < now_ms)
        catch_up_add_gap(&it->catch_up, had, now_ms, coverage->clock_ms);
    if (coverage->known && coverage->from_ms == COVERAGE_NONE)
        coverage->from_ms = had + coverage->clock_ms;
}

void coverage_was_not_live(struct coverage *coverage, size_t kind)
{
    struct coverage_kind *it = &coverage->kind[kind];

    if (it->live)
        it->to_ms = it->before_ms;
    it->live = false;
    catch_up_interrupt(&it->catch_up);
}

void coverage_closed(struct coverage *coverage, size_t kind, bool refused)
{
    struct coverage_kind *it = &coverage->kind[kind];

    it->live = false;
    it->refused = refused;
    catch_up_interrupt(&it->catch_up);
}

void coverage_down(struct coverage *coverage)
{
    for (size_t i = 0; i < coverage->count; i++) {
        coverage->kind[i].live = false;
        catch_up_interrupt(&coverage->kind[i].catch_up);
    }
}

void coverage_taken(struct coverage *coverage, int64_t moment_ms)
{
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        if (it->live)
            it->to_ms = later(it->to_ms, moment_ms);
    }
}

void coverage_lost(struct coverage *coverage, int64_t now_ms)
{
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        if (it->to_ms == COVERAGE_NONE)
            continue;
        catch_up_repeat(&it->catch_up);
        catch_up_add_gap(&it->catch_up, it->to_ms, now_ms, coverage->clock_ms);
        it->live_ms = now_ms; /* without a break, that is */
    }
}

/* ---- The cursor in Redis --------------------------------------------------------------------- */

static int64_t covered_ms(const struct coverage_kind *kind)
{
    return kind->catch_up.state == CATCH_UP_IDLE ? kind->to_ms : kind->catch_up.from_ms;
}

void coverage_report(const struct coverage *coverage, int64_t *from_ms, int64_t *to_ms)
{
    int64_t covered = INT64_MAX;

    *from_ms = *to_ms = REGISTRY_NO_MOMENT;
    for (size_t i = 0; i < coverage->count; i++) {
        const struct coverage_kind *it = &coverage->kind[i];

        if (!it->refused && covered_ms(it) < covered)
            covered = covered_ms(it);
    }
    if (!coverage->known || covered == INT64_MAX || covered == COVERAGE_NONE)
        return;
    *from_ms = coverage->from_ms;
    *to_ms = covered + coverage->clock_ms;
}

/* The cursor is learnt for the first time: gaps begin there. */
static void begin(struct coverage *coverage, int64_t now_ms)
{
    coverage->known = true;
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];
        int64_t had = it->live ? it->live_ms : it->to_ms;

        if (coverage->cursor_ms != COVERAGE_NONE)
            had = coverage->cursor_ms;
        if (coverage->from_ms == COVERAGE_NONE && had != COVERAGE_NONE)
            coverage->from_ms = had + coverage->clock_ms;
        if (coverage->cursor_ms == COVERAGE_NONE)
            continue;
        if (it->open)
            catch_up_add_gap(&it->catch_up, had, now_ms, coverage->clock_ms);
        else if (it->to_ms == COVERAGE_NONE)
            it->to_ms = had;
    }
}

/* What came before now is not to wake anybody. */
static void begin_anew(struct coverage *coverage, int64_t now_ms)
{
    coverage->from_ms = COVERAGE_NONE;
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        catch_up_cancel(&it->catch_up);
        it->to_ms = it->before_ms = COVERAGE_NONE;
        if (!it->live)
            continue;
        it->to_ms = it->live_ms = now_ms;
        coverage->from_ms = now_ms + coverage->clock_ms;
    }
}

/* Another listener has taken what is being caught up on here. */
static void drop_what_others_had(struct coverage *coverage)
{
    for (size_t i = 0; i < coverage->count; i++) {
        struct coverage_kind *it = &coverage->kind[i];

        if (it->live && coverage->cursor_ms != COVERAGE_NONE && coverage->cursor_ms >= it->live_ms)
            catch_up_cancel(&it->catch_up);
    }
}

bool coverage_learn(struct coverage *coverage, const struct registry_cursor *cursor, int64_t now_ms)
{
    bool lost = coverage->known && strcmp(coverage->epoch, cursor->epoch) != 0;

    if (cursor->epoch[0] == '\0')
        return false; /* nobody has noticed yet: what is said of now is said soon */
    coverage->clock_ms = cursor->now_ms - now_ms;
    coverage->cursor_ms = cursor->cursor_ms == REGISTRY_NO_MOMENT
                              ? COVERAGE_NONE
                              : cursor->cursor_ms - coverage->clock_ms;
    memcpy(coverage->epoch, cursor->epoch, sizeof coverage->epoch);
    if (lost)
        begin_anew(coverage, now_ms);
    else if (!coverage->known)
        begin(coverage, now_ms);
    else
        drop_what_others_had(coverage);
    for (size_t i = 0; i < coverage->count; i++)
        coverage->kind[i].open = false;
    return lost;
}
