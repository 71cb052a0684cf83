#include "taken_ids.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define WORDS (TAKEN_IDS_ID_SIZE / 4)

/* A ring of ids in order of arrival, and a hash table with linear probing that finds them. */
struct taken_ids {
    pthread_mutex_t lock;
    uint64_t key[WORDS + 1];
    uint8_t (*ring)[TAKEN_IDS_ID_SIZE];
    size_t capacity;
    size_t count;
    size_t next;     /* the ring's place to write: the oldest id once the ring is full */
    uint32_t *table; /* place in the ring + 1; 0 is empty */
    size_t mask;     /* the table's size - 1; at most half of it is used */
};

struct taken_ids *taken_ids_new(size_t capacity)
{
    struct taken_ids *ids;
    size_t slots = 2;

    if (capacity < 1 || capacity > TAKEN_IDS_MAX_CAPACITY)
        return NULL;
    while (slots < 2 * capacity)
        slots *= 2;
    ids = calloc(1, sizeof *ids);
    if (ids == NULL)
        return NULL;
    ids->ring = calloc(capacity, sizeof *ids->ring);
    ids->table = calloc(slots, sizeof *ids->table);
    if (ids->ring == NULL || ids->table == NULL || pthread_mutex_init(&ids->lock, NULL) != 0) {
        free(ids->ring);
        free(ids->table);
        free(ids);
        return NULL;
    }
    ids->capacity = capacity;
    ids->mask = slots - 1;
    random_bytes(ids->key, sizeof ids->key);
    return ids;
}

void taken_ids_free(struct taken_ids **ids)
{
    if (*ids == NULL)
        return;
    pthread_mutex_destroy(&(*ids)->lock);
    free((*ids)->ring);
    free((*ids)->table);
    free(*ids);
    *ids = NULL;
}

/* Multiply-shift hashing of a vector of 32-bit words: strongly universal (Thorup, "High Speed
 * Hashing for Integers and Strings"). */
static size_t home(const struct taken_ids *ids, const uint8_t *id)
{
    uint64_t sum = ids->key[WORDS];

    for (size_t i = 0; i < WORDS; i++) {
        uint32_t word;

        memcpy(&word, id + 4 * i, sizeof word);
        sum += ids->key[i] * word;
    }
    return (size_t)(sum >> 32) & ids->mask;
}

/* The slot that holds the id, or the empty one where it would go. */
static size_t find(const struct taken_ids *ids, const uint8_t *id)
{
    size_t slot = home(ids, id);

    while (ids->table[slot] != 0 &&
           memcmp(ids->ring[ids->table[slot] - 1], id, TAKEN_IDS_ID_SIZE) != 0)
        slot = (slot + 1) & ids->mask;
    return slot;
}

/* Empties the slot and moves back the entries behind it that could no longer be reached. */
static void empty_slot(struct taken_ids *ids, size_t hole)
{
    size_t slot = hole;

    for (;;) {
        size_t wanted;

        slot = (slot + 1) & ids->mask;
        if (ids->table[slot] == 0)
            break;
        wanted = home(ids, ids->ring[ids->table[slot] - 1]);
        if (((slot - wanted) & ids->mask) >= ((slot - hole) & ids->mask)) {
            ids->table[hole] = ids->table[slot];
            hole = slot;
        }
    }
    ids->table[hole] = 0;
}

bool taken_ids_has(struct taken_ids *ids, const uint8_t id[TAKEN_IDS_ID_SIZE])
{
    bool found;

    pthread_mutex_lock(&ids->lock);
    found = ids->table[find(ids, id)] != 0;
    pthread_mutex_unlock(&ids->lock);
    return found;
}

void taken_ids_add(struct taken_ids *ids, const uint8_t id[TAKEN_IDS_ID_SIZE])
{
    pthread_mutex_lock(&ids->lock);
    if (ids->table[find(ids, id)] == 0) {
        if (ids->count == ids->capacity)
            empty_slot(ids, find(ids, ids->ring[ids->next]));
        else
            ids->count++;
        memcpy(ids->ring[ids->next], id, TAKEN_IDS_ID_SIZE);
        /* Searches again, because emptying a slot may have moved the place for the id. */
        ids->table[find(ids, id)] = (uint32_t)ids->next + 1;
        ids->next = (ids->next + 1) % ids->capacity;
    }
    pthread_mutex_unlock(&ids->lock);
}

void taken_ids_clear(struct taken_ids *ids)
{
    pthread_mutex_lock(&ids->lock);
    memset(ids->table, 0, (ids->mask + 1) * sizeof *ids->table);
    ids->count = ids->next = 0;
    pthread_mutex_unlock(&ids->lock);
}
