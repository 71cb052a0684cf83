/* settings_names: which names are settings, of either program, and which was meant by one that is
 * not. Pure. */
#ifndef MOSTRO_SETTINGS_NAMES_H
#define MOSTRO_SETTINGS_NAMES_H

/* The setting that `name` is close to: some letters missing, doubled, wrong, swapped or in lower
 * case. NULL where it is a setting itself, or close to none. */
const char *settings_names_meant(const char *name);

#endif
