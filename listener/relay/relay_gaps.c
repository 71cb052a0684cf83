#include "relay_gaps_priv.h"

#include <stdlib.h>
#include <string.h>

struct relay_gaps *relay_gaps_new(const struct settings_kinds *kinds)
{
    struct relay_gaps *gaps = calloc(1, sizeof *gaps);

    if (gaps == NULL)
        return NULL;
    gaps->count = kinds->count;
    gaps->our_clock_ms = RELAY_GAPS_NONE;
    for (size_t i = 0; i < gaps->count; i++) {
        struct relay_gaps_kind *it = &gaps->kind[i];

        it->live_ms = it->before.to_ms = it->to_ms = RELAY_GAPS_NONE;
        it->gap_ms = it->from_ms = it->cursor_ms = RELAY_GAPS_NONE;
        catch_up_init(&it->catch_up, kinds->kind[i]);
    }
    return gaps;
}

void relay_gaps_free(struct relay_gaps **gaps)
{
    free(*gaps);
    *gaps = NULL;
}

bool relay_gaps_is_sure(const struct relay_gaps *gaps)
{
    return gaps->sure;
}

const char *relay_gaps_epoch(const struct relay_gaps *gaps)
{
    return gaps->epoch;
}

int64_t relay_gaps_live_since_ms(const struct relay_gaps *gaps, size_t kind)
{
    return gaps->kind[kind].live_ms;
}

struct catch_up *relay_gaps_catch_up(struct relay_gaps *gaps, size_t kind)
{
    return &gaps->kind[kind].catch_up;
}

bool relay_gaps_wants_page(const struct relay_gaps *gaps, size_t kind)
{
    return gaps->kind[kind].live && !catch_up_is_idle(&gaps->kind[kind].catch_up);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void relay_gaps_our_clock(struct relay_gaps *gaps, int64_t unix_ms, int64_t now_ms)
{
    gaps->our_clock_ms = unix_ms - now_ms;
}

int64_t relay_gaps_latest_unix_s(const struct relay_gaps *gaps, int64_t now_ms)
{
    return (now_ms + later(gaps->clock_ms, gaps->our_clock_ms)) / 1000;
}

/* ---- Gaps ------------------------------------------------------------------------------------ */

/* How events may be dated at a moment: by the earlier of Redis's clock and ours. */
static int64_t dated_s(const struct relay_gaps *gaps, int64_t moment)
{
    int64_t ahead = 0;

    if (gaps->our_clock_ms != RELAY_GAPS_NONE)
        ahead = later(0, gaps->clock_ms - gaps->our_clock_ms);
    return (moment - ahead) / 1000;
}

static void add_gap(const struct relay_gaps *gaps, struct relay_gaps_kind *kind, int64_t from,
                    int64_t now)
{
    catch_up_add_gap(&kind->catch_up, dated_s(gaps, from), dated_s(gaps, now));
    if (kind->gap_ms == RELAY_GAPS_NONE || from < kind->gap_ms)
        kind->gap_ms = from;
}

/* Rounded up: event dates are whole seconds, and most of that second lies before our data begin. */
static void add_first_gap(const struct relay_gaps *gaps, struct relay_gaps_kind *kind, int64_t from,
                          int64_t now)
{
    catch_up_add_first_gap(&kind->catch_up, dated_s(gaps, from) + 1, dated_s(gaps, now));
    kind->gap_ms = from;
}

static void cancel(struct relay_gaps_kind *kind)
{
    catch_up_cancel(&kind->catch_up);
    kind->gap_ms = RELAY_GAPS_NONE;
}

/* ---- What happens to subscriptions ----------------------------------------------------------- */

static void go_live(const struct relay_gaps *gaps, struct relay_gaps_kind *kind, int64_t now)
{
    int64_t had = kind->distrusted ? kind->to_ms : later(kind->to_ms, kind->cursor_ms);

    kind->before.to_ms = kind->to_ms;
    kind->before.begins = kind->begins;
    kind->before.connects = kind->connects;
    if (had >= now)
        had = now;
    else if (kind->connects && had == kind->to_ms && now - had < RELAY_GAPS_FIRST_MS)
        had = now;
    else if (kind->begins && had == kind->to_ms)
        add_first_gap(gaps, kind, had, now);
    else
        add_gap(gaps, kind, had, now);
    kind->live_ms = kind->to_ms = now;
    kind->begins = kind->connects = kind->distrusted = false;
}

void relay_gaps_live(struct relay_gaps *gaps, size_t kind, int64_t now_ms)
{
    struct relay_gaps_kind *it = &gaps->kind[kind];

    it->live = true;
    if (gaps->known)
        go_live(gaps, it, now_ms + gaps->clock_ms);
}

void relay_gaps_was_not_live(struct relay_gaps *gaps, size_t kind)
{
    struct relay_gaps_kind *it = &gaps->kind[kind];

    if (it->live && gaps->known) {
        it->to_ms = it->before.to_ms;
        it->begins = it->before.begins;
        it->connects = it->before.connects;
        it->distrusted = true;
    }
    it->live = false;
    catch_up_interrupt(&it->catch_up);
}

void relay_gaps_closed(struct relay_gaps *gaps, size_t kind)
{
    gaps->kind[kind].live = false;
    catch_up_interrupt(&gaps->kind[kind].catch_up);
}

void relay_gaps_down(struct relay_gaps *gaps)
{
    for (size_t i = 0; i < gaps->count; i++)
        relay_gaps_closed(gaps, i);
}

void relay_gaps_taken(struct relay_gaps *gaps, int64_t heard_ms)
{
    if (!gaps->known)
        return;
    for (size_t i = 0; i < gaps->count; i++) {
        struct relay_gaps_kind *it = &gaps->kind[i];

        if (it->live)
            it->to_ms = later(it->to_ms, heard_ms + gaps->clock_ms);
        if (catch_up_is_idle(&it->catch_up))
            it->gap_ms = RELAY_GAPS_NONE;
    }
}

void relay_gaps_lost(struct relay_gaps *gaps, int64_t now_ms)
{
    int64_t now = now_ms + gaps->clock_ms;

    for (size_t i = 0; i < gaps->count; i++) {
        struct relay_gaps_kind *it = &gaps->kind[i];

        if (!it->live && it->gap_ms == RELAY_GAPS_NONE)
            continue;
        catch_up_repeat(&it->catch_up);
        add_gap(gaps, it, it->gap_ms != RELAY_GAPS_NONE ? it->gap_ms : it->to_ms, now);
        it->live_ms = now;
    }
}

/* ---- The cursors in Redis -------------------------------------------------------------------- */

void relay_gaps_report(const struct relay_gaps *gaps, bool nothing,
                       struct registry_cursor cursors[SETTINGS_MAX_KINDS])
{
    for (size_t i = 0; i < gaps->count; i++) {
        const struct relay_gaps_kind *it = &gaps->kind[i];
        bool told = gaps->known && !gaps->doubted && !it->begins && !nothing;

        cursors[i].kind = it->catch_up.kind;
        cursors[i].from_ms = told ? it->from_ms : RELAY_GAPS_NONE;
        cursors[i].to_ms = it->gap_ms != RELAY_GAPS_NONE ? it->gap_ms : it->to_ms;
        if (!told)
            cursors[i].to_ms = RELAY_GAPS_NONE;
    }
}

/* A kind's data begin now. */
static void begin_now(struct relay_gaps_kind *kind, int64_t now)
{
    cancel(kind);
    kind->before.to_ms = kind->to_ms = kind->from_ms = now;
    kind->begins = !kind->live;
    kind->before.begins = true;
    kind->before.connects = false;
    kind->distrusted = false;
    if (kind->live)
        kind->live_ms = now;
}

static void begin(const struct relay_gaps *gaps, struct relay_gaps_kind *kind, int64_t now)
{
    if (kind->cursor_ms == RELAY_GAPS_NONE) {
        begin_now(kind, now);
        kind->connects = !kind->live;
        kind->before.connects = true;
        return;
    }
    kind->before.to_ms = kind->to_ms = kind->from_ms = kind->cursor_ms;
    if (kind->live)
        go_live(gaps, kind, now);
}

/* Redis's clock was set back, or another Redis has another one. */
static void shift_back(struct relay_gaps_kind *kind, int64_t by_ms)
{
    int64_t back = by_ms < 0 ? -by_ms : 0;

    kind->to_ms -= back;
    kind->before.to_ms -= back;
    kind->from_ms -= back;
    if (kind->gap_ms != RELAY_GAPS_NONE)
        kind->gap_ms -= back;
}

/* Our clock has missed some time, as when the machine slept, or Redis's clock was set: events from
 * then may be missing. */
static void jump(const struct relay_gaps *gaps, struct relay_gaps_kind *kind, int64_t by_ms,
                 int64_t now)
{
    shift_back(kind, by_ms);
    if (kind->live) {
        add_gap(gaps, kind, kind->to_ms, now);
        kind->live_ms = now;
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The data are another Redis's, whose cursor has been learnt. Pages that have been read may be
 * among what is lost, too. */
static void begin_doubted(const struct relay_gaps *gaps, struct relay_gaps_kind *kind,
                          int64_t by_ms, int64_t now)
{
    int64_t from;

    shift_back(kind, by_ms);
    if (kind->begins)
        return; /* nothing of it has been taken */
    from = later(kind->from_ms, now - RELAY_GAPS_DOUBT_MS);
    if (kind->cursor_ms != RELAY_GAPS_NONE)
        from = earlier(from, kind->cursor_ms);
    kind->from_ms = earlier(kind->from_ms, from);
    kind->before.to_ms = earlier(kind->before.to_ms, from);
    if (kind->live || kind->gap_ms != RELAY_GAPS_NONE) {
        catch_up_repeat(&kind->catch_up);
        add_gap(gaps, kind, from, now);
        kind->live_ms = now;
    }
    if (!kind->live) {
        kind->to_ms = earlier(kind->to_ms, from);
        kind->distrusted = true;
    }
}

/* Drops the catching up where another listener has taken the same events. */
static void drop_what_others_had(struct relay_gaps_kind *kind)
{
    if (kind->live && kind->cursor_ms != RELAY_GAPS_NONE &&
        kind->cursor_ms >= kind->live_ms + RELAY_GAPS_SURE_MS)
        cancel(kind);
}

bool relay_gaps_learn(struct relay_gaps *gaps, const struct registry_now *now,
                      const struct registry_cursor cursors[SETTINGS_MAX_KINDS], int64_t now_ms)
{
    int64_t clock_ms = now->now_ms - now_ms, by_ms = clock_ms - gaps->clock_ms;
    bool lost = gaps->known && strcmp(gaps->epoch, now->epoch) != 0;

    gaps->sure = now->epoch[0] != '\0';
    if (!gaps->sure)
        return false; /* no listener has drawn an epoch yet; ask again shortly */
    gaps->clock_ms = clock_ms;
    memcpy(gaps->epoch, now->epoch, sizeof gaps->epoch);
    for (size_t i = 0; i < gaps->count; i++) {
        struct relay_gaps_kind *it = &gaps->kind[i];

        it->cursor_ms = cursors[i].cursor_ms;
        if (lost)
            begin_now(it, now->now_ms);
        else if (!gaps->known)
            begin(gaps, it, now->now_ms);
        else if (gaps->doubted)
            begin_doubted(gaps, it, by_ms, now->now_ms);
        else if (by_ms > RELAY_GAPS_JUMP_MS || by_ms < -RELAY_GAPS_JUMP_MS)
            jump(gaps, it, by_ms, now->now_ms);
        else
            drop_what_others_had(it);
    }
    gaps->known = true;
    gaps->doubted = false;
    return lost;
}

void relay_gaps_doubt(struct relay_gaps *gaps)
{
    gaps->doubted = true;
}

void relay_gaps_unsure(struct relay_gaps *gaps)
{
    gaps->sure = false;
}
