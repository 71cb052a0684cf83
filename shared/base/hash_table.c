#include "hash_table.h"

#include <stdlib.h>
#include <string.h>

#include "must.h"
#include "random.h"

#define FIRST_BUCKETS 64

struct hash_table {
    struct hash_table_item **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    size_t emptied; /* where hash_table_any() goes on looking */
    uint64_t key[2];
};

/* SipHash-1-3 (Aumasson, Bernstein); its input is a string. */
static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_of(const struct hash_table *table, const char *text)
{
    uint64_t v[4] = {table->key[0] ^ 0x736f6d6570736575, table->key[1] ^ 0x646f72616e646f6d,
                     table->key[0] ^ 0x6c7967656e657261, table->key[1] ^ 0x7465646279746573};
    size_t len = strlen(text);
    uint64_t word;

    for (size_t at = 0; at + 8 <= len; at += 8) {
        memcpy(&word, text + at, 8);
        v[3] ^= word;
        mix(v);
        v[0] ^= word;
    }
    word = 0;
    memcpy(&word, text + len - len % 8, len % 8);
    word |= (uint64_t)len << 56;
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct hash_table *hash_table_new(void)
{
    struct hash_table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return NULL;
    table->bucket_count = FIRST_BUCKETS;
    table->buckets = calloc(FIRST_BUCKETS, sizeof(struct hash_table_item *));
    if (table->buckets == NULL)
        hash_table_free(&table);
    else
        random_bytes(table->key, sizeof table->key);
    return table;
}

void hash_table_free(struct hash_table **table)
{
    if (*table != NULL)
        free((*table)->buckets);
    free(*table);
    *table = NULL;
}

static struct hash_table_item **bucket_of(const struct hash_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->bucket_count - 1)];
}

static void link_item(struct hash_table *table, struct hash_table_item *item)
{
    struct hash_table_item **bucket = bucket_of(table, item->hash);

    item->next = *bucket;
    *bucket = item;
}

static void grow(struct hash_table *table)
{
    struct hash_table_item **old = table->buckets;
    size_t old_count = table->bucket_count;
    struct hash_table_item **buckets = calloc(old_count * 2, sizeof(struct hash_table_item *));

    if (buckets == NULL)
        return;
    table->buckets = buckets;
    table->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        for (struct hash_table_item *item = old[i], *next; item != NULL; item = next) {
            next = item->next;
            link_item(table, item);
        }
    }
    free(old);
}

struct hash_table_item *hash_table_find(const struct hash_table *table, const char *key)
{
    uint64_t hash = hash_of(table, key);
    struct hash_table_item *item = *bucket_of(table, hash);

    while (item != NULL && (item->hash != hash || strcmp(item->key, key) != 0))
        item = item->next;
    return item;
}

void hash_table_add(struct hash_table *table, struct hash_table_item *item)
{
    if (table->count >= table->bucket_count)
        grow(table);
    item->hash = hash_of(table, item->key);
    link_item(table, item);
    table->count++;
}

void hash_table_remove(struct hash_table *table, struct hash_table_item *item)
{
    struct hash_table_item **at = bucket_of(table, item->hash);

    while (*at != item) {
        MUST(*at != NULL); /* it is in this table */
        at = &(*at)->next;
    }
    *at = item->next;
    table->count--;
}

size_t hash_table_count(const struct hash_table *table)
{
    return table->count;
}

struct hash_table_item *hash_table_any(struct hash_table *table)
{
    if (table->count == 0)
        return NULL;
    while (table->buckets[table->emptied & (table->bucket_count - 1)] == NULL)
        table->emptied++;
    return table->buckets[table->emptied & (table->bucket_count - 1)];
}
