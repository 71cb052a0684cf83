#include "marks.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

struct mark {
    struct table_item item; /* by name; first */
    struct mark *prev, *next;
    int64_t until_ms;
    char name[];
};

struct marks {
    size_t max;
    struct table *table;
    struct mark *first, *last; /* in the order in which they were set */
};

struct marks *marks_new(size_t max)
{
    struct marks *marks = calloc(1, sizeof *marks);

    if (marks == NULL)
        return NULL;
    marks->max = max;
    marks->table = table_new();
    if (marks->table == NULL)
        marks_free(&marks);
    return marks;
}

static void take_out(struct marks *marks, struct mark *mark)
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

static void append(struct marks *marks, struct mark *mark)
{
    mark->next = NULL;
    mark->prev = marks->last;
    if (marks->last != NULL)
        marks->last->next = mark;
    else
        marks->first = mark;
    marks->last = mark;
}

static void forget_first(struct marks *marks)
{
    struct mark *mark = marks->first;

    take_out(marks, mark);
    table_remove(marks->table, &mark->item);
    free(mark);
}

void marks_free(struct marks **marks)
{
    if (*marks == NULL)
        return;
    while ((*marks)->first != NULL)
        forget_first(*marks);
    table_free(&(*marks)->table);
    free(*marks);
    *marks = NULL;
}

static struct mark *mark_new(struct marks *marks, const char *name)
{
    size_t size = strlen(name) + 1;
    struct mark *mark = malloc(sizeof *mark + size);

    if (mark == NULL)
        return NULL;
    memcpy(mark->name, name, size);
    mark->item.key = mark->name;
    mark->until_ms = INT64_MIN;
    if (marks_count(marks) >= marks->max)
        forget_first(marks);
    table_add(marks->table, &mark->item);
    append(marks, mark);
    return mark;
}

void marks_set(struct marks *marks, const char *name, int64_t until_ms, int64_t now_ms)
{
    struct mark *mark;

    /* Marks of one kind last about as long as each other, so that the first are the first to go. */
    while (marks->first != NULL && marks->first->until_ms <= now_ms)
        forget_first(marks);
    mark = (struct mark *)table_find(marks->table, name);
    if (mark != NULL) {
        take_out(marks, mark);
        append(marks, mark);
    } else if ((mark = mark_new(marks, name)) == NULL) {
        return;
    }
    if (mark->until_ms < until_ms)
        mark->until_ms = until_ms;
}

int64_t marks_until(const struct marks *marks, const char *name, int64_t now_ms)
{
    const struct mark *mark = (const struct mark *)table_find(marks->table, name);

    return mark != NULL && mark->until_ms > now_ms ? mark->until_ms : INT64_MIN;
}

size_t marks_count(const struct marks *marks)
{
    return table_count(marks->table);
}
