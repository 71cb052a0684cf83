# Makes redis.conf.example one for Valkey 8.1, beside a Redis or in its place; and what redis-ha has.
s|redis-mostro-push|valkey-mostro-push|g
s|/etc/redis/|/etc/valkey/|g
s|/var/lib/redis|/var/lib/valkey|
s|/run/redis/redis-server|/run/valkey/valkey-server|
s|^REDIS_SERVER=redis-server$|REDIS_SERVER=valkey-server|
# Valkey keeps commands over 1 MiB, with their arguments, whatever the slow log says; Redis knows no
# such settings, and would not start with them.
/^slowlog-max-len /a\
commandlog-large-request-max-len 0\
commandlog-large-reply-max-len 0
