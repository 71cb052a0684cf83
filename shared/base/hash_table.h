/* hash_table: finds a record by its key, a string.
 *
 * Records embed a struct hash_table_item and own themselves and their keys; the table only links
 * them. Buckets are chosen with SipHash under a key drawn at random, because strangers choose
 * pubkeys and hosts and must not be able to make them collide. Not thread-safe. */
#ifndef MOSTRO_HASH_TABLE_H
#define MOSTRO_HASH_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct hash_table;

struct hash_table_item {
    const char *key; /* set before hash_table_add(); unchanged until hash_table_remove() */
    struct hash_table_item *next;
    uint64_t hash;
};

/* NULL when out of memory. */
struct hash_table *hash_table_new(void);

/* The records remain their owners'. */
void hash_table_free(struct hash_table **table);

struct hash_table_item *hash_table_find(const struct hash_table *table, const char *key);

/* No record with that key may be in the table. Never fails: a table that cannot grow gets slower.
 */
void hash_table_add(struct hash_table *table, struct hash_table_item *item);
void hash_table_remove(struct hash_table *table, struct hash_table_item *item);

size_t hash_table_count(const struct hash_table *table);

/* Any record, or NULL when there is none: for emptying a table. */
struct hash_table_item *hash_table_any(struct hash_table *table);

#endif
