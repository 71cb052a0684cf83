# Makes /etc/mostro-push/env, with a line for each setting, from what both programs' --help shows:
#
#     awk -f env.awk LISTENER_HELP FCGI_HELP
#
# All are commented out but those of `given`, which differ from the programs' own defaults.

BEGIN {
    given["NOSTR_RELAYS"] = ""
    given["REDIS_URL"] = "unix:///run/redis-mostro-push/redis.sock"
    given["UNIFIEDPUSH_ENDPOINTS_FILE"] = "/var/lib/mostro-push/unifiedpush_endpoints.json"
    left_out["LISTENER_NAME"] = 1 # the unit gives it: the host's name and its own
    print "# Settings of Mostro Push: mostro-push-fcgi(8) and mostro-push-listener(8). Both programs read"
    print "# this file when they start. Where a key is wanted, name a file; one in /etc/mostro-push/keys,"
    print "# keys-listener or keys-fcgi, which root alone can read, is shown to that program by systemd:"
    print "# NOSTR_AUTH_PRIVATE_KEY_FILE=keys-listener/NAME."
}

FNR == 1 { program++ }

/^  [A-Z][A-Z0-9_]*$/ {
    name = $1
    if (!(name in users))
        names[++count] = name
    users[name] += program
    lines = 0
    next
}

/^      / && name != "" {
    text[name, ++lines] = substr($0, 7)
    if (match($0, /; default .*$/))
        value[name] = substr($0, RSTART + 10)
}

function group(of, title,    i, name) {
    printf "\n# ---- %s\n", title
    for (i = 1; i <= count; i++) {
        name = names[i]
        if (users[name] != of || name in left_out)
            continue
        printf "\n# %s\n# %s\n", text[name, 1], text[name, 2]
        if (name in given)
            printf "%s=%s\n", name, given[name]
        else
            printf "#%s=%s\n", name, value[name]
    }
}

END {
    group(3, "Both programs")
    group(1, "The listener")
    group(2, "The workers")
}
