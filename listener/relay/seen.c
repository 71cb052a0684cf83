#include "seen.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define WORDS (SEEN_ID_SIZE / 4)

/* A ring of ids in order of arrival, and a hash table with linear probing that finds them. */
struct seen {
    pthread_mutex_t lock;
    uint64_t key[WORDS + 1];
    uint8_t (*ring)[SEEN_ID_SIZE];
    size_t capacity;
    size_t count;
    size_t next;     /* the ring's place to write: the oldest id once the ring is full */
    uint32_t *table; /* place in the ring + 1; 0 is empty */
    size_t mask;     /* the table's size - 1; at most half of it is used */
};

struct seen *seen_new(size_t capacity)
{
    struct seen *seen;
    size_t slots = 2;

    if (capacity < 1 || capacity > SEEN_MAX_CAPACITY)
        return NULL;
    while (slots < 2 * capacity)
        slots *= 2;
    seen = calloc(1, sizeof *seen);
    if (seen == NULL)
        return NULL;
    seen->ring = calloc(capacity, sizeof *seen->ring);
    seen->table = calloc(slots, sizeof *seen->table);
    if (seen->ring == NULL || seen->table == NULL || pthread_mutex_init(&seen->lock, NULL) != 0) {
        free(seen->ring);
        free(seen->table);
        free(seen);
        return NULL;
    }
    seen->capacity = capacity;
    seen->mask = slots - 1;
    random_bytes(seen->key, sizeof seen->key);
    return seen;
}

void seen_free(struct seen **seen)
{
    if (*seen == NULL)
        return;
    pthread_mutex_destroy(&(*seen)->lock);
    free((*seen)->ring);
    free((*seen)->table);
    free(*seen);
    *seen = NULL;
}

/* Multiply-shift hashing of a vector of 32-bit words: strongly universal (Thorup, "High Speed
 * Hashing for Integers and Strings"). */
static size_t home(const struct seen *seen, const uint8_t *id)
{
    uint64_t sum = seen->key[WORDS];

    for (size_t i = 0; i < WORDS; i++) {
        uint32_t word;

        memcpy(&word, id + 4 * i, sizeof word);
        sum += seen->key[i] * word;
    }
    return (size_t)(sum >> 32) & seen->mask;
}

/* The slot that holds the id, or the empty one where it would go. */
static size_t find(const struct seen *seen, const uint8_t *id)
{
    size_t slot = home(seen, id);

    while (seen->table[slot] != 0 &&
           memcmp(seen->ring[seen->table[slot] - 1], id, SEEN_ID_SIZE) != 0)
        slot = (slot + 1) & seen->mask;
    return slot;
}

/* Empties the slot and moves back the entries behind it that could no longer be reached. */
static void empty_slot(struct seen *seen, size_t hole)
{
    size_t slot = hole;

    for (;;) {
        size_t wanted;

        slot = (slot + 1) & seen->mask;
        if (seen->table[slot] == 0)
            break;
        wanted = home(seen, seen->ring[seen->table[slot] - 1]);
        if (((slot - wanted) & seen->mask) >= ((slot - hole) & seen->mask)) {
            seen->table[hole] = seen->table[slot];
            hole = slot;
        }
    }
    seen->table[hole] = 0;
}

bool seen_has(struct seen *seen, const uint8_t id[SEEN_ID_SIZE])
{
    bool found;

    pthread_mutex_lock(&seen->lock);
    found = seen->table[find(seen, id)] != 0;
    pthread_mutex_unlock(&seen->lock);
    return found;
}

void seen_add(struct seen *seen, const uint8_t id[SEEN_ID_SIZE])
{
    pthread_mutex_lock(&seen->lock);
    if (seen->table[find(seen, id)] == 0) {
        if (seen->count == seen->capacity)
            empty_slot(seen, find(seen, seen->ring[seen->next]));
        else
            seen->count++;
        memcpy(seen->ring[seen->next], id, SEEN_ID_SIZE);
        /* Searched anew: emptying a slot may have moved the place where the id goes. */
        seen->table[find(seen, id)] = (uint32_t)seen->next + 1;
        seen->next = (seen->next + 1) % seen->capacity;
    }
    pthread_mutex_unlock(&seen->lock);
}
