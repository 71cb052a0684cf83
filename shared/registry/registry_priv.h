/* registry_priv: how the files registry_*.c build commands to Redis and read the answers.
 *
 * A command is begun, gets its words, and is sent; it then holds no memory of its own. Words are
 * not copied: they must live until the command was sent. */
#ifndef MOSTRO_REGISTRY_PRIV_H
#define MOSTRO_REGISTRY_PRIV_H

#include "device/trade_pubkey.h"
#include "redis/redis.h"
#include "registry.h"
#include "registry_why.h"
#include "settings/settings.h"
#include "stats.h"

#define REGISTRY_NUMBER_SIZE     24
#define REGISTRY_COMMAND_WORDS   (4 * REGISTRY_BATCH_MAX + 8)
#define REGISTRY_COMMAND_NUMBERS (2 * STAT_COUNT + 16)

_Static_assert(REGISTRY_COMMAND_NUMBERS >= REGISTRY_BATCH_MAX + 2, "one for each wake of a batch");

/* One command being put together; the words stay where they are until it is sent. */
struct registry_command {
    const char *word[REGISTRY_COMMAND_WORDS];
    size_t len[REGISTRY_COMMAND_WORDS];
    int count;
    char number[REGISTRY_COMMAND_NUMBERS][REGISTRY_NUMBER_SIZE];
    int numbers;
};

/* What the settings say, as words of commands. */
struct registry_limit {
    char interval[REGISTRY_NUMBER_SIZE]; /* microseconds until a bucket has refilled by one */
    char burst[REGISTRY_NUMBER_SIZE];
};

struct registry_words {
    const char *prefix; /* the settings' */
    bool limits_registers, limits_new;
    struct registry_limit notify_address, notify_pubkey, register_address, register_new;
    char notify_wakes_max[REGISTRY_NUMBER_SIZE], event_wakes_max[REGISTRY_NUMBER_SIZE];
    char token_ttl_ms[REGISTRY_NUMBER_SIZE], registrations_max[REGISTRY_NUMBER_SIZE];
};

struct registry {
    const struct settings *settings;
    struct stats *stats;
    struct redis *redis;
    struct registry_words words;
    struct registry_command command;
    char *wakes_key;
    bool must_load; /* the library, before anything else */
};

void registry_words_set(struct registry_words *words, const struct settings *settings);

/* ---- Putting a command together -------------------------------------------------------------- */

void registry_begin(struct registry_command *command);

/* What registry.lua calls its function `name`, which must be a literal. */
#define REGISTRY_FUNCTION(name) "mostro3_" name

/* Begins a call of such a function. */
#define REGISTRY_BEGIN(registry, name) \
    registry_begin_function(&(registry)->command, &(registry)->words, REGISTRY_FUNCTION(name))
void registry_begin_function(struct registry_command *command, const struct registry_words *words,
                             const char *function);

void registry_add_bytes(struct registry_command *command, const void *bytes, size_t len);
void registry_add(struct registry_command *command, const char *word);
void registry_add_number(struct registry_command *command, int64_t number);
void registry_add_pair(struct registry_command *command, const char *name, int64_t value);
void registry_add_moment(struct registry_command *command, int64_t moment); /* "" for none */
void registry_add_pubkey(struct registry_command *command, const struct trade_pubkey *key);

/* Interval and burst of a pubkey's limit, as registry.lua's spend() takes them. */
void registry_add_pubkey_limit(struct registry_command *command,
                               const struct registry_words *words);

/* ---- Sending it ------------------------------------------------------------------------------ */

/* Loads registry.lua over the library that is there. It need not be loaded again unless Redis was
 * away. */
enum redis_status registry_load_library(struct registry *registry);

/* The command that does so. */
#define REGISTRY_LIBRARY_WORDS 4
void registry_library(const char *words[REGISTRY_LIBRARY_WORDS],
                      size_t lens[REGISTRY_LIBRARY_WORDS]);

/* Sends the command, loading the library first where Redis does not have it. REGISTRY_OK: *reply
 * is set, to be freed by the caller. */
enum registry_result registry_send(struct registry *registry, redisReply **reply);

/* The same where the answer is a whole number. */
enum registry_result registry_call_for_integer(struct registry *registry, int64_t *integer);

/* Logs that something is full, once in ten seconds for the whole process. */
enum registry_shortage {
    REGISTRY_SHORT_MEMORY,        /* Redis's maxmemory */
    REGISTRY_SHORT_ROOM,          /* 70 % of it, for new registrations */
    REGISTRY_SHORT_REGISTRATIONS, /* MAX_REGISTRATIONS */
    REGISTRY_SHORT_HALF_QUEUE,    /* half of WAKES_MAX, for notifies */
    REGISTRY_SHORT_QUEUE,         /* WAKES_MAX, for events */
    REGISTRY_SHORTAGES
};
void registry_tell_full(enum registry_shortage shortage);

/* What a status means to the caller; `error` is the text of REDIS_ERROR_REPLY. Counts and logs it
 * where it must. */
enum registry_result registry_judge(struct stats *stats, enum redis_status status,
                                    const char *error);
enum registry_result registry_result_of(struct registry *registry, enum redis_status status);

/* ---- Reading answers ------------------------------------------------------------------------- */

/* Whether it says that the library has to be loaded. */
bool registry_is_not_found(const char *error);

/* Whether the last error reply began with this. */
bool registry_error_begins(const struct registry *registry, const char *prefix);

/* For an answer that registry.lua never gives: logs it and frees it. REGISTRY_UNAVAILABLE. */
enum registry_result registry_unexpected_reply(redisReply *reply);

/* Wipes the strings of an array before it is freed: some hold secrets. */
void registry_wipe_strings(redisReply *array);

/* Takes an array of n whole numbers that are not negative; frees the reply. */
enum registry_result registry_read_numbers(redisReply *reply, uint64_t *numbers, size_t n);

/* The answers of `why` and of `traced`. False: they are not registry.lua's. */
bool registry_why_read(const redisReply *reply, const struct settings *settings,
                       registry_host_fn *host_of, struct registry_why *why);
bool registry_traced_read(const redisReply *reply, struct registry_traced *traced, size_t *count);

/* ---- A worker's calls (registry_pipeline.h) ----------------------------------------------------
 */

struct registry_call;

/* Works out what its command needs. False: it cannot be asked. */
bool registry_call_prepare(struct registry_call *call);

/* Puts the command of `call` together; where that is a notify or a register, of `calls` of them,
 * which follow each other in their list. */
void registry_call_write(const struct registry_call *call, struct registry_command *command,
                         const struct registry_words *words);

/* The command that is answered once a replica has what was written before it on that connection,
 * and what its answer means for so many calls, which are counted and logged where none has. False:
 * the node is no primary any more, and they may be lost. */
#define REGISTRY_CONFIRM_WORDS 3
#define REGISTRY_CONFIRM_MS    100 /* which Redis takes at the most before it says that none has */
void registry_confirm_words(const char *words[REGISTRY_CONFIRM_WORDS],
                            size_t lens[REGISTRY_CONFIRM_WORDS]);
bool registry_confirm_read(struct stats *stats, enum redis_status status, const redisReply *reply,
                           const char *error, uint64_t calls);

#define REGISTRY_CALLS_MAX 64

/* Sets the answer of `call`, the one at `place` of the `calls` of a command, from an answer that is
 * no error, or from what came instead. */
void registry_call_read(struct registry_call *call, struct stats *stats, const redisReply *reply,
                        size_t place, size_t calls);
void registry_call_fail(struct registry_call *call, enum registry_result result);

#endif
