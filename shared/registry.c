#include "registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "log.h"
#include "redis.h"
#include "registry_lua.h"

#define LIBRARY_FUNCTION "mostro1_"
#define CONSUMER_GROUP   "dispatch" /* the same as registry.lua's GROUP */

/* How many requests of a quiet address, or wakes of a quiet pubkey, are admitted at once. */
#define NOTIFY_ADDRESS_BURST   30
#define NOTIFY_PUBKEY_BURST    10
#define REGISTER_ADDRESS_BURST 100

#define US_PER_MINUTE INT64_C(60000000)
#define MS_PER_HOUR   INT64_C(3600000)

/* What registry.lua's `notify` answers beside 0 and a time to wait. */
#define NOTIFY_REFUSED_PUBKEY -1
#define NOTIFY_QUEUE_FULL     -2

#define LISTENER_SUMS  5                   /* as registry.lua's `listeners` gives them */
#define METRICS_GAUGES (3 + LISTENER_SUMS) /* before the counters in its `metrics` */

#define NUMBER_SIZE     24
#define COMMAND_WORDS   (2 * REGISTRY_BATCH_MAX + 8)
#define COMMAND_NUMBERS (2 * STAT_COUNT + 16)

/* One command being put together; the words stay where they are until it is sent. */
struct command {
    const char *word[COMMAND_WORDS];
    size_t len[COMMAND_WORDS];
    int count;
    char number[COMMAND_NUMBERS][NUMBER_SIZE];
    int numbers;
};

/* The numbers that the settings make, as the words that commands are made of. */
struct limit {
    char interval[NUMBER_SIZE]; /* microseconds until a bucket has refilled by one */
    char burst[NUMBER_SIZE];
};

struct registry {
    const struct settings *settings;
    struct stats *stats;
    struct redis *redis;
    struct command command;
    char *wakes_key;
    bool limits_registers;
    struct limit notify_address, notify_pubkey, register_address;
    char notify_wakes_max[NUMBER_SIZE], event_wakes_max[NUMBER_SIZE];
    char token_ttl_ms[NUMBER_SIZE], registrations_max[NUMBER_SIZE];
    int64_t refused_for_us; /* the wait that came with the last refusal */
};

const char *platform_name(enum platform platform)
{
    return platform == PLATFORM_IOS ? "ios" : "android";
}

static void write_number(char text[NUMBER_SIZE], int64_t number)
{
    (void)snprintf(text, NUMBER_SIZE, "%" PRId64, number);
}

static void write_limit(struct limit *limit, int64_t per_minute, int64_t burst)
{
    write_number(limit->interval, US_PER_MINUTE / (per_minute > 0 ? per_minute : 1));
    write_number(limit->burst, burst);
}

static void write_settings(struct registry *registry)
{
    const struct settings *settings = registry->settings;

    registry->limits_registers = settings->register_rate_per_address > 0;
    write_limit(&registry->notify_address, settings->notify_rate_per_address, NOTIFY_ADDRESS_BURST);
    write_limit(&registry->notify_pubkey, settings->notify_rate_per_pubkey, NOTIFY_PUBKEY_BURST);
    write_limit(&registry->register_address, settings->register_rate_per_address,
                REGISTER_ADDRESS_BURST);
    write_number(registry->notify_wakes_max, settings->wakes_max / 2);
    write_number(registry->event_wakes_max, settings->wakes_max);
    write_number(registry->token_ttl_ms, settings->token_ttl_hours * MS_PER_HOUR);
    write_number(registry->registrations_max, settings->max_registrations);
}

struct registry *registry_new(const struct settings *settings, struct stats *stats)
{
    struct registry *registry = calloc(1, sizeof *registry);

    if (registry == NULL)
        return NULL;
    registry->settings = settings;
    registry->stats = stats;
    write_settings(registry);
    registry->redis = redis_new(settings->redis_url, settings->redis_allow_persistence);
    /* The one key made outside registry.lua: a function cannot wait for entries. */
    if (registry->redis == NULL ||
        asprintf(&registry->wakes_key, "%swakes", settings->redis_prefix) < 0) {
        registry->wakes_key = NULL;
        registry_free(&registry);
    }
    return registry;
}

void registry_free(struct registry **registry)
{
    if (*registry == NULL)
        return;
    redis_free(&(*registry)->redis);
    free((*registry)->wakes_key);
    free(*registry);
    *registry = NULL;
}

const char *registry_down_reason(const struct registry *registry)
{
    return redis_down_reason(registry->redis);
}

bool registry_is_refused(const struct registry *registry)
{
    return redis_is_refused(registry->redis);
}

int registry_fd(const struct registry *registry)
{
    return redis_fd(registry->redis);
}

void registry_disconnect(struct registry *registry)
{
    redis_close(registry->redis);
}

/* ---- Commands ----------------------------------------------------------------------------------
 */

static void add_bytes(struct registry *registry, const void *bytes, size_t len)
{
    struct command *command = &registry->command;

    if (command->count == COMMAND_WORDS)
        abort();
    command->word[command->count] = bytes;
    command->len[command->count++] = len;
}

static void add(struct registry *registry, const char *word)
{
    add_bytes(registry, word, strlen(word));
}

static void add_number(struct registry *registry, int64_t number)
{
    struct command *command = &registry->command;
    char *text;

    if (command->numbers == COMMAND_NUMBERS)
        abort();
    text = command->number[command->numbers++];
    write_number(text, number);
    add(registry, text);
}

static void begin(struct registry *registry)
{
    registry->command.count = 0;
    registry->command.numbers = 0;
}

/* `function` is a whole name, LIBRARY_FUNCTION included. */
static void begin_function(struct registry *registry, const char *function)
{
    begin(registry);
    add(registry, "FCALL");
    add(registry, function);
    add(registry, "1");
    add(registry, registry->settings->redis_prefix);
}

#define BEGIN(registry, name) begin_function(registry, LIBRARY_FUNCTION name)

static enum registry_result result_of(struct registry *registry, enum redis_status status)
{
    char text[LOG_REDACTED_SIZE];
    const char *error = redis_error(registry->redis);

    if (status != REDIS_OK_REPLY)
        stats_add(registry->stats, STAT_REDIS_ERRORS, 1);
    switch (status) {
    case REDIS_OK_REPLY:
        return REGISTRY_OK;
    case REDIS_FULL:
        return REGISTRY_FULL;
    case REDIS_DOWN:
        return REGISTRY_UNAVAILABLE;
    case REDIS_ERROR_REPLY:
        break;
    }
    log_error("registry: Redis refused a command: %s", log_redact(text, error, strlen(error)));
    return REGISTRY_UNAVAILABLE;
}

static enum redis_status load_library(struct registry *registry)
{
    const char *words[] = {"FUNCTION", "LOAD", "REPLACE", (const char *)registry_lua};
    const size_t lens[] = {8, 4, 7, sizeof registry_lua};
    redisReply *reply = NULL;
    enum redis_status status = redis_call(registry->redis, &reply, 4, words, lens);

    freeReplyObject(reply);
    return status;
}

static bool error_begins(const struct registry *registry, const char *prefix)
{
    return strncmp(redis_error(registry->redis), prefix, strlen(prefix)) == 0;
}

/* Sends the command. REGISTRY_OK: *reply is set, to be freed by the caller. */
static enum registry_result send_command(struct registry *registry, redisReply **reply)
{
    struct command *command = &registry->command;
    enum redis_status status =
        redis_call(registry->redis, reply, command->count, command->word, command->len);

    if (status == REDIS_ERROR_REPLY && error_begins(registry, "ERR Function not found")) {
        status = load_library(registry);
        if (status == REDIS_OK_REPLY)
            status =
                redis_call(registry->redis, reply, command->count, command->word, command->len);
    }
    return result_of(registry, status);
}

static enum registry_result strange(redisReply *reply)
{
    log_error("registry: Redis gave an answer that is not registry.lua's");
    freeReplyObject(reply);
    return REGISTRY_UNAVAILABLE;
}

/* The answer of register and unregister: { word, microseconds to wait }. */
static enum registry_result outcome_of(struct registry *registry, redisReply *reply)
{
    static const struct {
        const char *word;
        enum registry_result result;
    } words[] = {
        {"ok", REGISTRY_OK},
        {"absent", REGISTRY_NOT_FOUND},
        {"address", REGISTRY_REFUSED_ADDRESS},
        {"full", REGISTRY_FULL},
    };

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_INTEGER)
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (strcmp(reply->element[0]->str, words[i].word) == 0) {
                registry->refused_for_us = reply->element[1]->integer;
                freeReplyObject(reply);
                return words[i].result;
            }
    return strange(reply);
}

static enum registry_result call_for_outcome(struct registry *registry)
{
    redisReply *reply;
    enum registry_result result = send_command(registry, &reply);

    return result == REGISTRY_OK ? outcome_of(registry, reply) : result;
}

static enum registry_result call_for_integer(struct registry *registry, int64_t *integer)
{
    redisReply *reply;
    enum registry_result result = send_command(registry, &reply);

    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_INTEGER)
        return strange(reply);
    *integer = reply->integer;
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_check(struct registry *registry)
{
    enum redis_status status = load_library(registry);

    return status == REDIS_FULL ? REGISTRY_OK : result_of(registry, status);
}

/* ---- The API's calls ------------------------------------------------------------------------- */

/* Hash, interval and burst, as registry.lua's spend_address() takes them; no limit is no hash. */
static void add_address(struct registry *registry, enum registry_bucket bucket,
                        const struct address_hash *address)
{
    bool is_notify = bucket == REGISTRY_BUCKET_NOTIFY;
    const struct limit *limit = is_notify ? &registry->notify_address : &registry->register_address;

    add(registry, address != NULL && (is_notify || registry->limits_registers) ? address->hex : "");
    add(registry, limit->interval);
    add(registry, limit->burst);
}

static void add_pubkey_limit(struct registry *registry)
{
    add(registry, registry->notify_pubkey.interval);
    add(registry, registry->notify_pubkey.burst);
}

static void add_pubkey(struct registry *registry, const struct trade_pubkey *key)
{
    add_bytes(registry, key->hex, TRADE_PUBKEY_LEN);
}

enum registry_result registry_address_key(struct registry *registry, uint8_t key[ADDRESS_KEY_SIZE])
{
    char candidate[2 * ADDRESS_KEY_SIZE + 1];
    enum registry_result result;
    redisReply *reply;

    hex_encode(candidate, key, ADDRESS_KEY_SIZE);
    BEGIN(registry, "address_key");
    add(registry, candidate);
    result = send_command(registry, &reply);
    explicit_bzero(candidate, sizeof candidate);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_STRING ||
        !hex_decode(key, ADDRESS_KEY_SIZE, reply->str, reply->len))
        return strange(reply);
    explicit_bzero(reply->str, reply->len);
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_spend(struct registry *registry, enum registry_bucket bucket,
                                    const struct address_hash *address)
{
    int64_t wait = 0;
    enum registry_result result;

    BEGIN(registry, "spend");
    add(registry, bucket == REGISTRY_BUCKET_NOTIFY ? "notify" : "register");
    add_address(registry, bucket, address);
    result = call_for_integer(registry, &wait);
    registry->refused_for_us = wait;
    return result == REGISTRY_OK && wait > 0 ? REGISTRY_REFUSED_ADDRESS : result;
}

unsigned registry_refused_for_ms(const struct registry *registry)
{
    int64_t ms = registry->refused_for_us / 1000;

    return ms > 0 && ms < US_PER_MINUTE / 1000 ? (unsigned)ms : 0;
}

enum registry_result registry_notify(struct registry *registry, const struct address_hash *address,
                                     const struct trade_pubkey *key)
{
    int64_t answer = 0;
    enum registry_result result;

    BEGIN(registry, "notify");
    add_address(registry, REGISTRY_BUCKET_NOTIFY, address);
    add_pubkey(registry, key);
    add_pubkey_limit(registry);
    add(registry, registry->notify_wakes_max);
    result = call_for_integer(registry, &answer);
    if (result != REGISTRY_OK)
        return result == REGISTRY_FULL ? REGISTRY_QUEUE_FULL : result;
    registry->refused_for_us = answer;
    if (answer == NOTIFY_REFUSED_PUBKEY)
        return REGISTRY_REFUSED_PUBKEY;
    if (answer == NOTIFY_QUEUE_FULL)
        return REGISTRY_QUEUE_FULL;
    if (answer < 0 || answer > US_PER_MINUTE)
        return strange(NULL);
    return answer > 0 ? REGISTRY_REFUSED_ADDRESS : REGISTRY_OK;
}

enum registry_result registry_register(struct registry *registry,
                                       const struct address_hash *address,
                                       const struct trade_pubkey *key,
                                       const struct registration *registration)
{
    BEGIN(registry, "register");
    add_address(registry, REGISTRY_BUCKET_REGISTER, address);
    add_pubkey(registry, key);
    add(registry, registry->token_ttl_ms);
    add(registry, registry->registrations_max);
    add(registry, platform_name(registration->platform));
    add(registry, registration->token);
    add(registry, registration->p256dh);
    add(registry, registration->auth);
    return call_for_outcome(registry);
}

enum registry_result registry_unregister(struct registry *registry,
                                         const struct address_hash *address,
                                         const struct trade_pubkey *key)
{
    BEGIN(registry, "unregister");
    add_address(registry, REGISTRY_BUCKET_REGISTER, address);
    add_pubkey(registry, key);
    return call_for_outcome(registry);
}

/* Takes an array of whole numbers that are not negative; frees the reply. */
static enum registry_result read_numbers(redisReply *reply, uint64_t *numbers, size_t n)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return strange(reply);
    for (size_t i = 0; i < n; i++) {
        const redisReply *element = reply->element[i];

        if (element->type != REDIS_REPLY_INTEGER || element->integer < 0)
            return strange(reply);
        numbers[i] = (uint64_t)element->integer;
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_count(struct registry *registry, uint64_t *android, uint64_t *ios)
{
    uint64_t counts[2] = {0, 0};
    redisReply *reply;
    enum registry_result result;

    BEGIN(registry, "count");
    result = send_command(registry, &reply);
    if (result == REGISTRY_OK)
        result = read_numbers(reply, counts, 2);
    *android = counts[0];
    *ios = counts[1];
    return result;
}

static struct registry_listeners listeners_of(const uint64_t sums[LISTENER_SUMS])
{
    return (struct registry_listeners){.alive = sums[0],
                                       .relays_connected = sums[1],
                                       .relays_configured = sums[2],
                                       .in_flight = sums[3],
                                       .backlog = sums[4]};
}

enum registry_result registry_listeners(struct registry *registry,
                                        struct registry_listeners *listeners)
{
    uint64_t sums[LISTENER_SUMS];
    redisReply *reply;
    enum registry_result result;

    registry_disconnect(registry);
    BEGIN(registry, "listeners");
    result = send_command(registry, &reply);
    if (result == REGISTRY_OK)
        result = read_numbers(reply, sums, LISTENER_SUMS);
    if (result == REGISTRY_OK)
        *listeners = listeners_of(sums);
    return result;
}

enum registry_result registry_metrics(struct registry *registry, struct registry_metrics *metrics)
{
    uint64_t values[METRICS_GAUGES + STAT_COUNT];
    redisReply *reply;
    enum registry_result result;

    BEGIN(registry, "metrics");
    for (int i = 0; i < STAT_COUNT; i++)
        add(registry, stats_series((enum stats_counter)i)->field);
    result = send_command(registry, &reply);
    if (result == REGISTRY_OK)
        result = read_numbers(reply, values, METRICS_GAUGES + STAT_COUNT);
    if (result != REGISTRY_OK)
        return result;
    metrics->android = values[0];
    metrics->ios = values[1];
    metrics->queued = values[2];
    metrics->listeners = listeners_of(values + 3);
    memcpy(metrics->counter, values + METRICS_GAUGES, sizeof metrics->counter);
    return REGISTRY_OK;
}

/* ---- Events ------------------------------------------------------------------------------------
 */

static bool event_outcome(const char *word, enum registry_event *outcome)
{
    static const char *const words[] = {
        [REGISTRY_EVENT_UNREGISTERED] = "unregistered",
        [REGISTRY_EVENT_QUEUED] = "queued",
        [REGISTRY_EVENT_DEFERRED] = "deferred",
        [REGISTRY_EVENT_REPEATED] = "repeated",
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *outcome = (enum registry_event)i;
            return true;
        }
    return false;
}

enum registry_result registry_relay_event(struct registry *registry, const char *event_id,
                                          const struct trade_pubkey *key, bool stored,
                                          enum registry_event *outcome)
{
    redisReply *reply;
    enum registry_result result;

    BEGIN(registry, "event");
    add(registry, event_id);
    add_pubkey(registry, key);
    add_pubkey_limit(registry);
    add(registry, registry->event_wakes_max);
    add(registry, stored ? "stored" : "live");
    result = send_command(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_STRING)
        return strange(reply);
    if (strcmp(reply->str, "full") == 0)
        result = REGISTRY_QUEUE_FULL;
    else if (!event_outcome(reply->str, outcome))
        return strange(reply);
    freeReplyObject(reply);
    return result;
}

/* ---- Wakes -------------------------------------------------------------------------------------
 */

enum registry_result registry_wakes_prepare(struct registry *registry)
{
    redisReply *reply = NULL;
    struct command *command = &registry->command;
    enum redis_status status;

    begin(registry);
    add(registry, "XGROUP");
    add(registry, "CREATE");
    add(registry, registry->wakes_key);
    add(registry, CONSUMER_GROUP);
    add(registry, "0");
    add(registry, "MKSTREAM");
    status = redis_call(registry->redis, &reply, command->count, command->word, command->len);
    freeReplyObject(reply);
    /* A full Redis does not say whether there is a group; reading will. */
    if (status == REDIS_FULL ||
        (status == REDIS_ERROR_REPLY && error_begins(registry, "BUSYGROUP")))
        return REGISTRY_OK;
    return result_of(registry, status);
}

enum registry_result registry_wakes_ask(struct registry *registry, const char *after,
                                        unsigned count, unsigned block_ms)
{
    struct command *command = &registry->command;

    begin(registry);
    add(registry, "XREADGROUP");
    add(registry, "GROUP");
    add(registry, CONSUMER_GROUP);
    add(registry, registry->settings->listener_name);
    add(registry, "COUNT");
    add_number(registry, count);
    if (after == NULL) {
        add(registry, "BLOCK");
        add_number(registry, block_ms);
    }
    add(registry, "STREAMS");
    add(registry, registry->wakes_key);
    add(registry, after != NULL ? after : ">");
    return result_of(registry,
                     redis_ask(registry->redis, command->count, command->word, command->len));
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
    if (strcmp(via->str, "relay") == 0)
        wake->via = WAKE_VIA_RELAY;
    else if (strcmp(via->str, "notify") == 0)
        wake->via = WAKE_VIA_NOTIFY;
    else
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
    if (foreigners > 0) {
        log_warn("registry: %zu entries of the queue are not wakes and are dropped", foreigners);
        (void)registry_wakes_done(registry, foreign_ids, foreigners);
    }
    return true;
}

enum registry_result registry_wakes_collect(struct registry *registry, struct wake *wakes,
                                            size_t max, size_t *n, char *last_id)
{
    redisReply *reply;
    enum redis_status status = redis_collect(registry->redis, &reply);

    *n = 0;
    if (status == REDIS_ERROR_REPLY &&
        (error_begins(registry, "NOGROUP") || error_begins(registry, "UNBLOCKED")))
        return REGISTRY_NOT_FOUND;
    if (status != REDIS_OK_REPLY)
        return result_of(registry, status);
    if (reply == NULL)
        return REGISTRY_PENDING;
    if (reply->type != REDIS_REPLY_NIL &&
        !read_entries(registry, entries_of(reply), wakes, max, n, last_id)) {
        registry_disconnect(registry);
        return strange(reply);
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
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
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4 ||
        reply->element[0]->type != REDIS_REPLY_STRING)
        return false;
    if (!copy_text(registration->token, sizeof registration->token, reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        !copy_text(registration->p256dh, sizeof registration->p256dh, reply->element[2]) ||
        !copy_text(registration->auth, sizeof registration->auth, reply->element[3]))
        return false;
    registration->platform =
        strcmp(reply->element[1]->str, "ios") == 0 ? PLATFORM_IOS : PLATFORM_ANDROID;
    return true;
}

static void wipe_strings(redisReply *array)
{
    for (size_t i = 0; array->type == REDIS_REPLY_ARRAY && i < array->elements; i++)
        if (array->element[i]->type == REDIS_REPLY_STRING)
            explicit_bzero(array->element[i]->str, array->element[i]->len);
}

enum registry_result registry_lookup(struct registry *registry, const struct trade_pubkey *keys,
                                     size_t n, struct registration *registrations, bool *found)
{
    redisReply *reply;
    enum registry_result result;

    BEGIN(registry, "lookup");
    for (size_t i = 0; i < n; i++)
        add_pubkey(registry, &keys[i]);
    result = send_command(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return strange(reply);
    for (size_t i = 0; i < n; i++) {
        found[i] = read_registration(reply->element[i], &registrations[i]);
        wipe_strings(reply->element[i]);
    }
    freeReplyObject(reply);
    return REGISTRY_OK;
}

enum registry_result registry_wakes_done(struct registry *registry, const char *const *ids,
                                         size_t n)
{
    int64_t ignored;

    BEGIN(registry, "done");
    for (size_t i = 0; i < n; i++)
        add(registry, ids[i]);
    return call_for_integer(registry, &ignored);
}

enum registry_result registry_forget(struct registry *registry, const struct trade_pubkey *key,
                                     const char *token)
{
    int64_t removed = 0;
    enum registry_result result;

    BEGIN(registry, "forget");
    add_pubkey(registry, key);
    add(registry, token);
    result = call_for_integer(registry, &removed);
    return result == REGISTRY_OK && removed == 0 ? REGISTRY_NOT_FOUND : result;
}

enum registry_result registry_time(struct registry *registry, int64_t *unix_ms)
{
    redisReply *reply;
    enum registry_result result;

    begin(registry);
    add(registry, "TIME");
    result = send_command(registry, &reply);
    if (result != REGISTRY_OK)
        return result;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return strange(reply);
    *unix_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
               strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return REGISTRY_OK;
}

/* ---- Housekeeping ------------------------------------------------------------------------------
 */

static void add_pair(struct registry *registry, const char *name, int64_t value)
{
    add(registry, name);
    add_number(registry, value);
}

enum registry_result registry_heartbeat(struct registry *registry, const struct heartbeat *beat)
{
    int64_t kept = 0;
    enum registry_result result;

    BEGIN(registry, "heartbeat");
    add(registry, registry->settings->listener_name);
    add(registry, beat->instance);
    add(registry, beat->first ? "first" : "again");
    add(registry, "version");
    add(registry, PACKAGE_VERSION);
    add_pair(registry, "relays_connected", beat->relays_connected);
    add_pair(registry, "relays_configured", beat->relays_configured);
    add_pair(registry, "in_flight", beat->in_flight);
    add_pair(registry, "backlog", beat->backlog);
    add_pair(registry, "last_event", beat->last_event_s);
    result = call_for_integer(registry, &kept);
    return result == REGISTRY_OK && kept == 0 ? REGISTRY_NOT_FOUND : result;
}

enum registry_result registry_flush_stats(struct registry *registry, struct stats *stats)
{
    uint64_t taken[STAT_COUNT];
    enum registry_result result = REGISTRY_OK;
    int64_t ignored;
    bool any = false;

    BEGIN(registry, "add");
    for (int i = 0; i < STAT_COUNT; i++) {
        taken[i] = atomic_exchange_explicit(&stats->pending[i], 0, memory_order_relaxed);
        if (taken[i] > 0)
            add_pair(registry, stats_series((enum stats_counter)i)->field, (int64_t)taken[i]);
        any |= taken[i] > 0;
    }
    if (any)
        result = call_for_integer(registry, &ignored);
    for (int i = 0; result != REGISTRY_OK && i < STAT_COUNT; i++)
        stats_add(stats, (enum stats_counter)i, taken[i]);
    return result;
}

enum registry_result registry_trim(struct registry *registry, int64_t *trimmed)
{
    *trimmed = 0;
    BEGIN(registry, "trim");
    return call_for_integer(registry, trimmed);
}
