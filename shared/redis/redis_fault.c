#include "redis_fault.h"

#include <stddef.h>
#include <string.h>

const struct redis_fault *redis_fault_of(const char *error, bool has_sentinels)
{
    static const struct redis_fault faults[] = {
        {"OOM ", REDIS_FAULT_FULL, "its maxmemory is reached"},
        {"LOADING", REDIS_FAULT_PASSING, "it is loading its data"},
        {"BUSY ", REDIS_FAULT_PASSING, "it is busy with a script"},
        {"ERR max number of clients", REDIS_FAULT_PASSING,
         "it has too many clients: raise its maxclients"},
        {"MASTERDOWN", REDIS_FAULT_REFUSED, REDIS_FAULT_REPLICA},
        {"READONLY", REDIS_FAULT_REFUSED, REDIS_FAULT_REPLICA},
        {"NOREPLICAS", REDIS_FAULT_PASSING,
         "it takes no writes without its replicas: start them, or see its min-replicas-to-write"},
        {"MISCONF", REDIS_FAULT_REFUSED,
         "it takes no writes since it cannot save to disk: its own log says why"},
        {"NOAUTH", REDIS_FAULT_REFUSED, "it wants a password: put it into REDIS_URL"},
    };
    static const struct redis_fault none = {"", REDIS_FAULT_NONE, ""};
    static const struct redis_fault demoted = {"", REDIS_FAULT_PASSING, "it has become a replica"};

    if (has_sentinels &&
        (strncmp(error, "MASTERDOWN", 10) == 0 || strncmp(error, "READONLY", 8) == 0))
        return &demoted;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (strncmp(error, faults[i].begins, strlen(faults[i].begins)) == 0)
            return &faults[i];
    return &none;
}

enum redis_denial redis_denial_of(const char *error)
{
    if (strncmp(error, "NOPERM", 6) != 0 && strstr(error, "user executing the script") == NULL &&
        strstr(error, "ACL failure in script") == NULL)
        return REDIS_DENIAL_NONE;
    /* "... access one of the keys ...", "... at least one of the keys ...", "... access a key" */
    return strstr(error, "access ") != NULL && strstr(error, " key") != NULL ? REDIS_DENIAL_KEY
                                                                             : REDIS_DENIAL_COMMAND;
}
