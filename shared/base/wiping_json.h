/* wiping_json: jansson, made to wipe what it frees: its values are tokens, keys and pubkeys. */
#ifndef MOSTRO_WIPING_JSON_H
#define MOSTRO_WIPING_JSON_H

/* Call once at start, before any other thread and before the first JSON value. */
void wiping_json_init(void);

#endif
