/* table: finds a record by its key, a string.
 *
 * Records embed a struct table_item and own themselves and their keys; the table only links them.
 * Buckets are chosen with SipHash under a key drawn at random, because strangers choose pubkeys
 * and hosts and must not be able to make them collide. Not thread-safe. */
#ifndef MOSTRO_TABLE_H
#define MOSTRO_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table;

struct table_item {
    const char *key; /* set before table_add(); unchanged until table_remove() */
    struct table_item *next;
    uint64_t hash;
};

/* NULL when out of memory. */
struct table *table_new(void);

/* The records stay their owners'. */
void table_free(struct table **table);

struct table_item *table_find(const struct table *table, const char *key);

/* No record of that key may be there. Never fails: where the table cannot grow it gets slower. */
void table_add(struct table *table, struct table_item *item);
void table_remove(struct table *table, struct table_item *item);

size_t table_count(const struct table *table);

/* Any record, or NULL when there is none: for emptying a table. */
struct table_item *table_any(struct table *table);

#endif
