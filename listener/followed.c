#include "followed.h"

#include "base/must.h"

static struct followed_relay *find(struct followed *followed, const struct relay_url *parts)
{
    for (size_t i = 0; i < followed->count; i++)
        if (relay_url_is_same(&followed->relays[i].parts, parts))
            return &followed->relays[i];
    return NULL;
}

void followed_fill(struct followed *followed, const struct settings_relays *relays)
{
    followed->count = 0;
    for (size_t i = 0; i < relays->count; i++) {
        struct followed_relay *next = &followed->relays[followed->count], *same;

        MUST(relay_url_parse(&next->parts, relays->url[i]));
        same = find(followed, &next->parts);
        if (same != NULL) {
            same->is_repeated = true;
            continue;
        }
        next->url = relays->url[i];
        next->is_repeated = relays->is_repeated[i];
        followed->count++;
    }
}
