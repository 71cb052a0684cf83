#include <string.h>

#include "device/endpoint_url.h"
#include "registry_pipeline.h"
#include "registry_priv.h"

#define LONGEST_WAIT_US INT64_C(60000000) /* a minute: the lowest rate is one a minute */

/* What registry.lua's `notify` answers beside 0 and a time to wait. */
#define NOTIFY_REFUSED_PUBKEY -1
#define NOTIFY_QUEUE_FULL     -2

/* ---- Writing it --------------------------------------------------------------------------------
 */

/* Hash, interval and burst, as registry.lua's spend_address() takes them; no limit is no hash. */
static void add_address(struct registry_command *command, const struct registry_words *words,
                        enum registry_bucket bucket, const struct address_hash *address)
{
    bool is_notify = bucket == REGISTRY_BUCKET_NOTIFY;
    const struct registry_limit *limit =
        is_notify ? &words->notify_address : &words->register_address;

    registry_add(command,
                 address != NULL && (is_notify || words->limits_registers) ? address->hex : "");
    registry_add(command, limit->interval);
    registry_add(command, limit->burst);
}

/* The settings are the same for all of them. */
static void write_notifies(struct registry_command *command, const struct registry_words *words,
                           const struct registry_call *call)
{
    unsigned calls = call->calls;

    registry_begin_function(command, words, REGISTRY_FUNCTION("notify"));
    registry_add(command, words->notify_address.interval);
    registry_add(command, words->notify_address.burst);
    registry_add_pubkey_limit(command, words);
    registry_add(command, words->notify_wakes_max);
    for (; calls > 0; calls--) {
        registry_add(command, call->address != NULL ? call->address->hex : "");
        registry_add_pubkey(command, &call->key);
        call = STAILQ_NEXT(call, next);
    }
}

static void add_new_limit(struct registry_command *command, const struct registry_words *words,
                          const struct registry_call *call)
{
    registry_add(command, words->limits_new && call->address != NULL ? call->address->hex : "");
    registry_add(command, words->limits_new && call->site != NULL ? call->site->hex : "");
}

static void write_register(struct registry_command *command, const struct registry_words *words,
                           const struct registry_call *call)
{
    const struct registration *registration = call->registration;
    bool is_limited = words->limits_registers && call->address != NULL;

    registry_add(command, is_limited ? call->address->hex : "");
    registry_add_pubkey(command, &call->key);
    registry_add(command, platform_name(registration->platform));
    registry_add(command, registration->token);
    registry_add(command, registration->p256dh);
    registry_add(command, registration->auth);
    registry_add(command, call->device_id.hex);
    registry_add(command, registration->mostro_pubkey);
    add_new_limit(command, words, call);
}

static void write_registers(struct registry_command *command, const struct registry_words *words,
                            const struct registry_call *call)
{
    unsigned calls = call->calls;

    _Static_assert(REGISTRY_CALLS_MAX * 10 + 16 <= REGISTRY_COMMAND_WORDS, "words of a command");
    _Static_assert(REGISTRY_CALLS_MAX * (DEVICE_TOKEN_MAX + 1024) <= 512 * 1024,
                   "well under 1 MiB, from which on Valkey keeps a command in its log");
    registry_begin_function(command, words, REGISTRY_FUNCTION("registers"));
    registry_add(command, words->register_address.interval);
    registry_add(command, words->register_address.burst);
    registry_add(command, words->token_ttl_ms);
    registry_add(command, words->registrations_max);
    registry_add(command, words->register_new.interval);
    registry_add(command, words->register_new.burst);
    for (; calls > 0; calls--) {
        write_register(command, words, call);
        call = STAILQ_NEXT(call, next);
    }
}

bool registry_call_prepare(struct registry_call *call)
{
    const char *token;

    call->device_id = (struct device_id){.hex = ""};
    if (call->kind != REGISTRY_CALL_REGISTER)
        return true;
    token = call->registration->token;
    return strstr(token, ENDPOINT_URL_MARK) == NULL || device_id_of(&call->device_id, token);
}

void registry_call_write(const struct registry_call *call, struct registry_command *command,
                         const struct registry_words *words)
{
    switch (call->kind) {
    case REGISTRY_CALL_SPEND:
        registry_begin_function(command, words, REGISTRY_FUNCTION("spend"));
        registry_add(command, call->bucket == REGISTRY_BUCKET_NOTIFY ? "notify" : "register");
        add_address(command, words, call->bucket, call->address);
        return;
    case REGISTRY_CALL_NOTIFY:
        write_notifies(command, words, call);
        return;
    case REGISTRY_CALL_REGISTER:
        write_registers(command, words, call);
        return;
    case REGISTRY_CALL_UNREGISTER:
        registry_begin_function(command, words, REGISTRY_FUNCTION("unregister"));
        add_address(command, words, REGISTRY_BUCKET_REGISTER, call->address);
        registry_add_pubkey(command, &call->key);
        return;
    case REGISTRY_CALL_COUNT:
        registry_begin_function(command, words, REGISTRY_FUNCTION("count"));
        return;
    }
}

/* ---- Reading its answer ------------------------------------------------------------------------
 */

static void set_wait(struct registry_call *call, int64_t us)
{
    call->refused_for_ms = us > 0 && us < LONGEST_WAIT_US ? (unsigned)(us / 1000) : 0;
}

static enum registry_result result_of_wait(struct registry_call *call, int64_t us)
{
    if (us < 0 || us > LONGEST_WAIT_US)
        return registry_unexpected_reply(NULL);
    set_wait(call, us);
    return us > 0 ? REGISTRY_REFUSED_ADDRESS : REGISTRY_OK;
}

static enum registry_result read_wait(struct registry_call *call, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return registry_unexpected_reply(NULL);
    return result_of_wait(call, reply->integer);
}

static enum registry_result result_of_notify(struct registry_call *call, int64_t answer)
{
    if (answer == NOTIFY_REFUSED_PUBKEY)
        return REGISTRY_REFUSED_PUBKEY;
    if (answer == NOTIFY_QUEUE_FULL) {
        registry_tell_full(REGISTRY_SHORT_HALF_QUEUE);
        return REGISTRY_QUEUE_FULL;
    }
    return result_of_wait(call, answer);
}

/* An array, with an element for each notify of the command. */
static enum registry_result read_notify(struct registry_call *call, const redisReply *reply,
                                        size_t place, size_t calls)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != calls ||
        reply->element[place]->type != REDIS_REPLY_INTEGER)
        return registry_unexpected_reply(NULL);
    return result_of_notify(call, reply->element[place]->integer);
}

static enum registry_result result_of_word(const char *word)
{
    static const struct {
        const char *word;
        enum registry_result result;
        enum registry_shortage shortage; /* of REGISTRY_FULL */
    } words[] = {
        {"ok", REGISTRY_OK, REGISTRY_SHORTAGES},
        {"absent", REGISTRY_NOT_FOUND, REGISTRY_SHORTAGES},
        {"address", REGISTRY_REFUSED_ADDRESS, REGISTRY_SHORTAGES},
        {"new", REGISTRY_REFUSED_NEW, REGISTRY_SHORTAGES},
        {"full", REGISTRY_FULL, REGISTRY_SHORT_REGISTRATIONS},
        {"memory", REGISTRY_FULL, REGISTRY_SHORT_ROOM},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i].word) == 0) {
            if (words[i].result == REGISTRY_FULL)
                registry_tell_full(words[i].shortage);
            return words[i].result;
        }
    return registry_unexpected_reply(NULL);
}

/* Of register and unregister: for each call of the command a word, or an error that it alone has
 * met, and the microseconds to wait. */
static enum registry_result read_outcome(struct registry_call *call, struct stats *stats,
                                         const redisReply *reply, size_t place, size_t calls)
{
    const redisReply *word, *wait;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 * calls)
        return registry_unexpected_reply(NULL);
    word = reply->element[2 * place];
    wait = reply->element[2 * place + 1];
    if (wait->type == REDIS_REPLY_INTEGER && word->type == REDIS_REPLY_ERROR)
        return registry_judge(stats, REDIS_ERROR_REPLY, word->str);
    if (wait->type != REDIS_REPLY_INTEGER || word->type != REDIS_REPLY_STRING)
        return registry_unexpected_reply(NULL);
    set_wait(call, wait->integer);
    return result_of_word(word->str);
}

static bool is_count(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
}

static enum registry_result read_counts(struct registry_call *call, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_count(reply->element[0]) ||
        !is_count(reply->element[1]))
        return registry_unexpected_reply(NULL);
    call->android = (uint64_t)reply->element[0]->integer;
    call->ios = (uint64_t)reply->element[1]->integer;
    return REGISTRY_OK;
}

void registry_call_read(struct registry_call *call, struct stats *stats, const redisReply *reply,
                        size_t place, size_t calls)
{
    call->refused_for_ms = 0;
    switch (call->kind) {
    case REGISTRY_CALL_SPEND:
        call->result = read_wait(call, reply);
        break;
    case REGISTRY_CALL_NOTIFY:
        call->result = read_notify(call, reply, place, calls);
        break;
    case REGISTRY_CALL_REGISTER:
    case REGISTRY_CALL_UNREGISTER:
        call->result = read_outcome(call, stats, reply, place, calls);
        break;
    case REGISTRY_CALL_COUNT:
        call->result = read_counts(call, reply);
        break;
    }
}

void registry_call_fail(struct registry_call *call, enum registry_result result)
{
    call->refused_for_ms = 0;
    if (result == REGISTRY_FULL && call->kind == REGISTRY_CALL_NOTIFY)
        result = REGISTRY_QUEUE_FULL;
    call->result = result;
}
