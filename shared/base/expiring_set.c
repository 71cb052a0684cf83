#include "expiring_set.h"

#include <stdlib.h>
#include <string.h>

#include "hash_table.h"

struct mark {
    struct hash_table_item item; /* by name; first */
    struct mark *prev, *next;
    int64_t until_ms;
    char name[];
};

struct expiring_set {
    size_t max;
    struct hash_table *table;
    struct mark *first, *last; /* in the order in which they were set */
};

struct expiring_set *expiring_set_new(size_t max)
{
    struct expiring_set *marks = calloc(1, sizeof *marks);

    if (marks == NULL)
        return NULL;
    marks->max = max;
    marks->table = hash_table_new();
    if (marks->table == NULL)
        expiring_set_free(&marks);
    return marks;
}

static void take_out(struct expiring_set *marks, struct mark *mark)
{
    if (mark->prev != NULL)
        mark->prev->next = mark->next;
    else
        marks->first = mark->next;
    if (mark->next != NULL)
        mark->next->prev = mark->prev;
    else
        marks->last = mark->prev;
}

static void append(struct expiring_set *marks, struct mark *mark)
{
    mark->next = NULL;
    mark->prev = marks->last;
    if (marks->last != NULL)
        marks->last->next = mark;
    else
        marks->first = mark;
    marks->last = mark;
}

static void forget_first(struct expiring_set *marks)
{
    struct mark *mark = marks->first;

    take_out(marks, mark);
    hash_table_remove(marks->table, &mark->item);
    free(mark);
}

void expiring_set_free(struct expiring_set **marks)
{
    if (*marks == NULL)
        return;
    while ((*marks)->first != NULL)
        forget_first(*marks);
    hash_table_free(&(*marks)->table);
    free(*marks);
    *marks = NULL;
}

static struct mark *mark_new(struct expiring_set *marks, const char *name)
{
    size_t size = strlen(name) + 1;
    struct mark *mark = malloc(sizeof *mark + size);

    if (mark == NULL)
        return NULL;
    memcpy(mark->name, name, size);
    mark->item.key = mark->name;
    mark->until_ms = INT64_MIN;
    if (expiring_set_count(marks) >= marks->max)
        forget_first(marks);
    hash_table_add(marks->table, &mark->item);
    append(marks, mark);
    return mark;
}

/* Marks of one kind last about as long as each other, so that the first are the first to go. */
void expiring_set_expire(struct expiring_set *marks, int64_t now_ms)
{
    while (marks->first != NULL && marks->first->until_ms <= now_ms)
        forget_first(marks);
}

void expiring_set_set(struct expiring_set *marks, const char *name, int64_t until_ms,
                      int64_t now_ms)
{
    struct mark *mark;

    expiring_set_expire(marks, now_ms);
    mark = (struct mark *)hash_table_find(marks->table, name);
    if (mark != NULL) {
        take_out(marks, mark);
        append(marks, mark);
    } else if ((mark = mark_new(marks, name)) == NULL) {
        return;
    }
    if (mark->until_ms < until_ms)
        mark->until_ms = until_ms;
}

int64_t expiring_set_until(const struct expiring_set *marks, const char *name, int64_t now_ms)
{
    const struct mark *mark = (const struct mark *)hash_table_find(marks->table, name);

    return mark != NULL && mark->until_ms > now_ms ? mark->until_ms : INT64_MIN;
}

size_t expiring_set_count(const struct expiring_set *marks)
{
    return hash_table_count(marks->table);
}
