#include "expiring_set.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "hash_table.h"

struct mark {
    struct hash_table_item item; /* by name; first */
    TAILQ_ENTRY(mark) order;
    int64_t until_ms;
    char name[];
};

struct expiring_set {
    size_t max;
    struct hash_table *table;
    TAILQ_HEAD(mark_order, mark) order; /* in which they were set */
};

struct expiring_set *expiring_set_new(size_t max)
{
    struct expiring_set *set = calloc(1, sizeof *set);

    if (set == NULL)
        return NULL;
    set->max = max;
    TAILQ_INIT(&set->order);
    set->table = hash_table_new();
    if (set->table == NULL)
        expiring_set_free(&set);
    return set;
}

static void forget_first(struct expiring_set *set)
{
    struct mark *mark = TAILQ_FIRST(&set->order);

    TAILQ_REMOVE(&set->order, mark, order);
    hash_table_remove(set->table, &mark->item);
    free(mark);
}

void expiring_set_free(struct expiring_set **set)
{
    if (*set == NULL)
        return;
    while (!TAILQ_EMPTY(&(*set)->order))
        forget_first(*set);
    hash_table_free(&(*set)->table);
    free(*set);
    *set = NULL;
}

static struct mark *mark_new(struct expiring_set *set, const char *name)
{
    size_t size = strlen(name) + 1;
    struct mark *mark = malloc(sizeof *mark + size);

    if (mark == NULL)
        return NULL;
    memcpy(mark->name, name, size);
    mark->item.key = mark->name;
    mark->until_ms = INT64_MIN;
    if (expiring_set_count(set) >= set->max)
        forget_first(set);
    hash_table_add(set->table, &mark->item);
    TAILQ_INSERT_TAIL(&set->order, mark, order);
    return mark;
}

/* Marks of one kind last about as long as each other, so that the first are the first to go. */
void expiring_set_expire(struct expiring_set *set, int64_t now_ms)
{
    while (!TAILQ_EMPTY(&set->order) && TAILQ_FIRST(&set->order)->until_ms <= now_ms)
        forget_first(set);
}

void expiring_set_set(struct expiring_set *set, const char *name, int64_t until_ms, int64_t now_ms)
{
    struct mark *mark;

    expiring_set_expire(set, now_ms);
    mark = (struct mark *)hash_table_find(set->table, name);
    if (mark != NULL) {
        TAILQ_REMOVE(&set->order, mark, order);
        TAILQ_INSERT_TAIL(&set->order, mark, order);
    } else if ((mark = mark_new(set, name)) == NULL) {
        return;
    }
    if (mark->until_ms < until_ms)
        mark->until_ms = until_ms;
}

int64_t expiring_set_until(const struct expiring_set *set, const char *name, int64_t now_ms)
{
    const struct mark *mark = (const struct mark *)hash_table_find(set->table, name);

    return mark != NULL && mark->until_ms > now_ms ? mark->until_ms : INT64_MIN;
}

size_t expiring_set_count(const struct expiring_set *set)
{
    return hash_table_count(set->table);
}
