#include "registry_wakes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "registry_priv.h"

#define CONSUMER_GROUP "dispatch" /* the same as registry.lua's GROUP */

enum registry_result registry_wakes_prepare(struct registry *registry)
{
    redisReply *reply = NULL;
    struct registry_command *command = &registry->command;
    enum redis_status status;

    registry_begin(command);
    registry_add(command, "XGROUP");
    registry_add(command, "CREATE");
    registry_add(command, registry->wakes_key);
    registry_add(command, CONSUMER_GROUP);
    registry_add(command, "0");
    registry_add(command, "MKSTREAM");
    status = redis_call(registry->redis, &reply, command->count, command->word, command->len);
    freeReplyObject(reply);
    /* A full Redis does not say whether there is a group; reading will. */
    if (status == REDIS_FULL ||
        (status == REDIS_ERROR_REPLY && registry_error_begins(registry, "BUSYGROUP")))
        return REGISTRY_OK;
    return registry_result_of(registry, status);
}

enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms)
{
    struct registry_command *command = &registry->command;

    registry_begin(command);
    registry_add(command, "XREADGROUP");
    registry_add(command, "GROUP");
    registry_add(command, CONSUMER_GROUP);
    registry_add(command, registry->settings->listener_name);
    registry_add(command, "COUNT");
    registry_add_number(command, count);
    if (after == NULL) {
        registry_add(command, "BLOCK");
        registry_add_number(command, block_ms);
    }
    registry_add(command, "STREAMS");
    registry_add(command, registry->wakes_key);
    registry_add(command, after != NULL ? after : ">");
    return registry_result_of(
        registry, redis_ask(registry->redis, command->count, command->word, command->len));
}

int registry_fd(const struct registry *registry)
{
    return redis_fd(registry->redis);
}

/* A stream id: milliseconds, a dash, a number. */
static bool read_id(const redisReply *reply, char id[WAKE_ID_SIZE], int64_t *ms)
{
    uint64_t time, number;
    int end = 0;

    if (reply->type != REDIS_REPLY_STRING || reply->len >= WAKE_ID_SIZE)
        return false;
    if (sscanf(reply->str, "%20" SCNu64 "-%20" SCNu64 "%n", &time, &number, &end) != 2 ||
        (size_t)end != reply->len || time > INT64_MAX)
        return false;
    memcpy(id, reply->str, reply->len + 1);
    *ms = (int64_t)time;
    return true;
}

static const redisReply *field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1];
    return NULL;
}

/* The same as registry.lua's RANK. */
static const char *const kinds[] = {
    [WAKE_VIA_NOTIFY] = "notify", [WAKE_VIA_QUIET] = "quiet", [WAKE_VIA_RELAY] = "relay"};

bool wake_via_parse(enum wake_via *via, const char *text, size_t len)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i]) == len && memcmp(kinds[i], text, len) == 0) {
            *via = (enum wake_via)i;
            return true;
        }
    }
    return false;
}

static bool read_wake(const redisReply *fields, struct wake *wake)
{
    const redisReply *pubkey, *via, *not_before;
    char *end;

    if (fields->type != REDIS_REPLY_ARRAY)
        return false;
    pubkey = field(fields, "pk");
    via = field(fields, "via");
    not_before = field(fields, "not_before");
    if (pubkey == NULL || via == NULL || not_before == NULL ||
        !trade_pubkey_parse(&wake->key, pubkey->str, pubkey->len))
        return false;
    if (!wake_via_parse(&wake->via, via->str, via->len))
        return false;
    wake->not_before_ms = strtoll(not_before->str, &end, 10);
    return *end == '\0' && wake->not_before_ms >= 0;
}

/* The entries of { { key, { { id, { field, value ... } } ... } } }, or NULL. */
static const redisReply *entries_of(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
        return NULL;
    reply = reply->element[0];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return NULL;
    return reply->element[1];
}

/* Nobody would ever take them. */
static void drop_foreign(struct registry *registry, const char *const *ids, size_t n)
{
    struct registry_command *command = &registry->command;
    int64_t ignored;

    if (n == 0)
        return;
    log_warn("registry: %zu entries of the queue are not wakes and are dropped", n);
    REGISTRY_BEGIN(registry, "drop");
    for (size_t i = 0; i < n; i++)
        registry_add(command, ids[i]);
    (void)registry_call_for_integer(registry, &ignored);
}

static bool read_entries(struct registry *registry, const redisReply *entries, struct wake *wakes,
                         size_t max, size_t *n, char *last_id)
{
    char foreign[REGISTRY_BATCH_MAX][WAKE_ID_SIZE];
    const char *foreign_ids[REGISTRY_BATCH_MAX];
    size_t foreigners = 0;

    if (entries == NULL || entries->elements > max || entries->elements > REGISTRY_BATCH_MAX)
        return false;
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *entry = entries->element[i];
        struct wake *wake = &wakes[*n];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            !read_id(entry->element[0], wake->id, &wake->queued_ms))
            return false;
        memcpy(last_id, wake->id, WAKE_ID_SIZE);
        if (read_wake(entry->element[1], wake)) {
            ++*n;
        } else {
            memcpy(foreign[foreigners], wake->id, WAKE_ID_SIZE);
            foreign_ids[foreigners] = foreign[foreigners];
            foreigners++;
        }
    }
    drop_foreign(registry, foreign_ids, foreigners);
    return true;
}

enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id)
{
    redisReply *reply;
    enum redis_status status = redis_collect(registry->redis, &reply);

    *n = 0;
    if (status == REDIS_ERROR_REPLY && (registry_error_begins(registry, "NOGROUP") ||
                                        registry_error_begins(registry, "UNBLOCKED")))
        return REGISTRY_NOT_FOUND;
    if (status != REDIS_OK_REPLY)
        return registry_result_of(registry, status);
    if (reply == NULL)
        return REGISTRY_PENDING;
    if (reply->type != REDIS_REPLY_NIL &&
        !read_entries(registry, entries_of(reply), wakes, max, n, last_id)) {
        registry_disconnect(registry);
        return registry_unexpected_reply(reply);
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

static void add_lease(struct registry *registry, int64_t since_us)
{
    struct registry_command *command = &registry->command;

    registry_add(command, registry->settings->listener_name);
    registry_add_number(command, since_us);
}

/* Whether this is what functions answer where the name is no longer held. */
static bool is_lapsed(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
}

static bool copy_text(char *out, size_t size, const redisReply *reply)
{
    out[0] = '\0';
    if (reply->type == REDIS_REPLY_NIL)
        return true;
    if (reply->type != REDIS_REPLY_STRING || reply->len >= size)
        return false;
    memcpy(out, reply->str, reply->len + 1);
    return true;
}

/* False where there is none, or none that these programs have written. */
static bool read_registration(const redisReply *reply, struct registration *registration)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[4]->type != REDIS_REPLY_INTEGER)
        return false;
    if (!copy_text(registration->token, sizeof registration->token, reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        !copy_text(registration->p256dh, sizeof registration->p256dh, reply->element[2]) ||
        !copy_text(registration->auth, sizeof registration->auth, reply->element[3]))
        return false;
    registration->version = reply->element[4]->integer;
    registration->platform =
        strcmp(reply->element[1]->str, "ios") == 0 ? PLATFORM_IOS : PLATFORM_ANDROID;
    return true;
}

enum registry_result registry_lookup(struct registry *registry, int64_t since_us,
                                     const struct trade_pubkey *keys, size_t n,
                                     struct registration *registrations, bool *found)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "lookup");
    add_lease(registry, since_us);
    for (size_t i = 0; i < n; i++)
        registry_add_pubkey(command, &keys[i]);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type == REDIS_REPLY_INTEGER) {
        result = is_lapsed(reply) ? REGISTRY_LAPSED : REGISTRY_PENDING;
        freeReplyObject(reply);
        return result;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return registry_unexpected_reply(reply);
    for (size_t i = 0; i < n; i++) {
        found[i] = read_registration(reply->element[i], &registrations[i]);
        registry_wipe_strings(reply->element[i]);
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

/* One answer of take: a score, or { score, registration }; less than 0: it does not wait. */
static int64_t read_taken(const redisReply *reply, const struct wake *wake,
                          struct registry_at_once *at_once)
{
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        if (at_once->n < REGISTRY_AT_ONCE_MAX &&
            read_registration(reply->element[1], &at_once->registrations[at_once->n]))
            at_once->keys[at_once->n++] = wake->key;
        registry_wipe_strings(reply->element[1]);
        reply = reply->element[0];
    }
    return reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
}

enum registry_result registry_wakes_take(struct registry *registry, int64_t since_us,
                                         struct wake *wakes, size_t n, bool *waits,
                                         struct registry_at_once *at_once)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    at_once->n = 0;
    REGISTRY_BEGIN(registry, "take");
    add_lease(registry, since_us);
    registry_add_number(command, REGISTRY_AT_ONCE_MAX);
    for (size_t i = 0; i < n; i++) {
        registry_add(command, wakes[i].id);
        registry_add(command, kinds[wakes[i].via]);
        registry_add_pubkey(command, &wakes[i].key);
        registry_add_number(command, wakes[i].not_before_ms);
    }
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (is_lapsed(reply)) {
        freeReplyObject(reply);
        return REGISTRY_LAPSED;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return registry_unexpected_reply(reply);
    for (size_t i = 0; i < n; i++) {
        int64_t score = read_taken(reply->element[i], &wakes[i], at_once);

        waits[i] = score >= 0;
        wakes[i].score_ms = waits[i] ? score : 0;
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

/* A member `<kind>:<pubkey>` and its score, as Redis writes it. */
static bool read_member(const redisReply *member, const redisReply *score, struct wake *wake)
{
    const char *colon;
    size_t kind;
    double number;
    char *end;

    if (member->type != REDIS_REPLY_STRING || score->type != REDIS_REPLY_STRING ||
        (colon = memchr(member->str, ':', member->len)) == NULL)
        return false;
    kind = (size_t)(colon - member->str);
    number = strtod(score->str, &end);
    if (*end != '\0' || !(number >= 0 && number < 9e15))
        return false;
    wake->score_ms = (int64_t)number;
    return wake_via_parse(&wake->via, member->str, kind) &&
           trade_pubkey_parse(&wake->key, colon + 1, member->len - kind - 1);
}

static bool read_members(const redisReply *reply, char cursor[REGISTRY_CURSOR_SIZE],
                         registry_waiting_fn *wake, void *arg)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 || reply->elements % 2 != 0 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len == 0 ||
        reply->element[0]->len >= REGISTRY_CURSOR_SIZE ||
        reply->element[1]->type != REDIS_REPLY_INTEGER)
        return false;
    memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
    for (size_t i = 2; i < reply->elements; i += 2) {
        struct wake one = {0};

        if (read_member(reply->element[i], reply->element[i + 1], &one))
            wake(&one, reply->element[1]->integer, arg);
    }
    return true;
}

enum registry_result registry_wakes_waiting(struct registry *registry, int64_t since_us,
                                            char cursor[REGISTRY_CURSOR_SIZE],
                                            registry_waiting_fn *wake, void *arg)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "waiting");
    add_lease(registry, since_us);
    registry_add(command, cursor);
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (is_lapsed(reply)) {
        freeReplyObject(reply);
        return REGISTRY_LAPSED;
    }
    if (!read_members(reply, cursor, wake, arg))
        return registry_unexpected_reply(reply);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

_Static_assert(REGISTRY_COMMAND_NUMBERS >= 2 * REGISTRY_DONE_MAX, "a score and a version each");

enum registry_result registry_wakes_done(struct registry *registry, const struct wake_done *done,
                                         size_t n)
{
    struct registry_command *command = &registry->command;
    int64_t ignored;

    REGISTRY_BEGIN(registry, "done");
    registry_add(command, registry->settings->listener_name);
    registry_add(command, registry->words.token_ttl_ms);
    for (size_t i = 0; i < n; i++) {
        registry_add(command, kinds[done[i].via]);
        registry_add_pubkey(command, done[i].key);
        registry_add_number(command, done[i].score_ms);
        if (done[i].delivered == WAKE_NOT_DELIVERED)
            registry_add(command, "");
        else
            registry_add_number(command, done[i].delivered);
    }
    return registry_call_for_integer(registry, &ignored);
}

enum registry_result registry_wakes_adopt(struct registry *registry, int64_t since_us,
                                          unsigned most, int64_t *adopted)
{
    struct registry_command *command = &registry->command;
    enum registry_result result;

    *adopted = 0;
    REGISTRY_BEGIN(registry, "adopt");
    add_lease(registry, since_us);
    registry_add_number(command, most);
    result = registry_call_for_integer(registry, adopted);
    return result == REGISTRY_OK && *adopted < 0 ? REGISTRY_LAPSED : result;
}

enum registry_result registry_pauses(struct registry *registry, int64_t *redis_ms, bool *held,
                                     struct registry_pause *pauses, size_t *n)
{
    uint64_t numbers[2 + 2 * REGISTRY_PAUSES_MAX];
    redisReply *reply;
    size_t count;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "pauses");
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    if (count < 2 || count % 2 != 0 || count > sizeof numbers / sizeof numbers[0])
        return registry_unexpected_reply(reply);
    result = registry_read_numbers(reply, numbers, count);
    if (result != REGISTRY_OK)
        return result;
    *held = numbers[0] != 0;
    *redis_ms = (int64_t)numbers[1];
    *n = count / 2 - 1;
    for (size_t i = 0; i < *n; i++) {
        pauses[i].from_ms = (int64_t)numbers[2 + 2 * i];
        pauses[i].to_ms = numbers[3 + 2 * i] != 0 ? (int64_t)numbers[3 + 2 * i] : INT64_MAX;
    }
    return REGISTRY_OK;
}

enum registry_result registry_forget(struct registry *registry, const struct trade_pubkey *key,
                                     const char *token, int64_t version)
{
    struct registry_command *command = &registry->command;
    int64_t removed = 0;
    enum registry_result result;

    REGISTRY_BEGIN(registry, "forget");
    registry_add_pubkey(command, key);
    registry_add(command, token);
    registry_add_number(command, version);
    result = registry_call_for_integer(registry, &removed);
    return result == REGISTRY_OK && removed == 0 ? REGISTRY_NOT_FOUND : result;
}

enum registry_result registry_time(struct registry *registry, int64_t *unix_ms)
{
    struct registry_command *command = &registry->command;
    redisReply *reply;
    enum registry_result result;

    registry_begin(command);
    registry_add(command, "TIME");
    result = registry_send(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return registry_unexpected_reply(reply);
    *unix_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
               strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return REGISTRY_OK;
}
