#include "endpoint_turns.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "endpoint_shares.h"

struct turn {
    struct endpoint_shares_item share; /* first */
    STAILQ_ENTRY(turn) next;
    int64_t number;
};

struct endpoint_turns {
    struct endpoint_shares *shares;
    STAILQ_HEAD(added_turns, turn) added;
    int64_t count;
};

struct endpoint_turns *endpoint_turns_new(void)
{
    struct endpoint_turns *turns = calloc(1, sizeof *turns);

    if (turns == NULL)
        return NULL;
    STAILQ_INIT(&turns->added);
    turns->shares = endpoint_shares_new();
    if (turns->shares == NULL)
        endpoint_turns_free(&turns);
    return turns;
}

void endpoint_turns_free(struct endpoint_turns **turns)
{
    if (*turns == NULL)
        return;
    endpoint_shares_free(&(*turns)->shares);
    while (endpoint_turns_next(*turns) >= 0)
        ;
    free(*turns);
    *turns = NULL;
}

bool endpoint_turns_add(struct endpoint_turns *turns, const struct registry_endpoint *endpoint)
{
    struct turn *turn = calloc(1, sizeof *turn);
    struct url url;

    if (turn == NULL || !endpoint_url_parse(&url, endpoint->url, strlen(endpoint->url), true) ||
        !endpoint_shares_add(turns->shares, &turn->share, &url, 1, endpoint->registered_at)) {
        free(turn);
        return false;
    }
    STAILQ_INSERT_TAIL(&turns->added, turn, next);
    turns->count++;
    return true;
}

/* Who would have to go last where there was not room for all, is the first to be woken. */
void endpoint_turns_draw(struct endpoint_turns *turns)
{
    int64_t number = turns->count;
    struct turn *turn;

    while ((turn = (struct turn *)endpoint_shares_shift(turns->shares)) != NULL)
        turn->number = --number;
}

int64_t endpoint_turns_next(struct endpoint_turns *turns)
{
    struct turn *turn = STAILQ_FIRST(&turns->added);
    int64_t number;

    if (turn == NULL)
        return -1;
    STAILQ_REMOVE_HEAD(&turns->added, next);
    number = turn->number;
    free(turn);
    return number;
}
