#!lua name=mostro_push_3
--
-- registry.lua: every atomic operation on the data of Mostro Push, as Redis Functions.
--
-- Both programs load this library where Redis does not have it; an operator can, too:
--   redis-cli -x FUNCTION LOAD REPLACE < registry.lua
-- The number in its name and in the functions' names is the version of the data's schema.
--
-- Every function is called with one key, the prefix of all keys (REDIS_PREFIX), and makes every
-- other key here. A Redis Cluster is not supported. Times inside are microseconds of Redis's own
-- clock, so that one decision holds for every program on every machine.

local SEEN_FOR_MS = 10 * 60 * 1000           -- an event spends its pubkey's limit once in this time
local WOKE_FOR_MS = 4 * 24 * 60 * 60 * 1000  -- catching up reaches back 2 days, wraps 2 days more
local WOKE_MAX = 64                          -- ids that are kept of one pubkey's events
local REACH_MS = 2 * 24 * 60 * 60 * 1000     -- of catching up
local CURSOR_FOR_MS = 30 * 24 * 60 * 60 * 1000
local HEARTBEAT_S = 30
local NOTICE_US = 3 * 1000000                -- by then a listener has noticed that it was replaced
local LEAVE_US = 15 * 1000000                -- and so long it may take to finish its pushes
local NAME_MAX = 64                          -- of a listener
local STEP_MS = 5 * 60 * 1000                -- registrations expire at whole five minutes
local STEPS_PAGE = 500                       -- of these that are looked at in one command
local PAUSES_MAX = 16                        -- the latest are kept,
local PAUSES_FOR_MS = 24 * 60 * 60 * 1000    -- for as long as a wake may wait after them
local WAITING_SCAN = 256                     -- waiting wakes looked at in one call
local ENDPOINT_TRIM_BATCH = 16
local ENDPOINT_SCAN = 256                    -- endpoints looked at in one call
local ENDPOINT_WAKES_PER_S = 50
local WRITER_MS = 30 * 1000                  -- after which another listener may write the file

local DEFERRED_US = 2000                     -- see Deferral
local CLOCK_SLACK_MS = 1000                  -- what a wait that was noted may seem to have grown by

local LOUD_BURST = 10                        -- visible wakes of one pubkey at once,
local LOUD_EVERY_US = 10 * 60 * 1000000      -- and one more in this time; the rest are silent
local CAUGHT_UP_US = 2 * 1000000             -- stored events of one pubkey are gathered for so long
local CAUGHT_UP_FOR_MS = 60 * 60 * 1000      -- longer than catching up with one relay takes
local STORED_SLACK_MS = 1000                 -- what a listener may misread Redis's clock by, amply

local ROOM_PERCENT = 70                      -- of maxmemory; the rest is not for new registrations
local MEMORY_EVERY_US = 1000000              -- how often Redis's memory is looked at,
local MEMORY_EVERY = 256                     -- and after how many new registrations

local GROUP = 'dispatch'
local PLATFORMS = { 'android', 'ios' }

-- How wakes come to be queued, and which covers which: a visible one covers all, a silent one of an
-- event that of a notify, too.
local RANK = { notify = 1, quiet = 2, relay = 3 }

-- The p256dh of a stand-in whose phone had given keys, which are lost (REGISTRY_KEYS_LOST).
local KEYS_LOST = '-'
local ENCRYPTED = ' encrypted' -- ends the record of such an endpoint

local function token_key(prefix, pubkey) return prefix .. 'token:' .. pubkey end
local function live_key(prefix) return prefix .. 'live' end
local function steps_key(prefix) return prefix .. 'live:steps' end
local function address_limit_key(prefix, bucket, hash)
  return prefix .. 'limit:' .. bucket .. ':ip:' .. hash
end
local function pubkey_limit_key(prefix, pubkey) return prefix .. 'limit:pubkey:' .. pubkey end
local function due_key(prefix, pubkey) return prefix .. 'due:' .. pubkey end
local function loud_key(prefix, pubkey) return prefix .. 'loud:' .. pubkey end
local function caught_up_key(prefix, pubkey) return prefix .. 'caught_up:' .. pubkey end
local function seen_key(prefix, id) return prefix .. 'seen:' .. id end
local function woke_key(prefix, pubkey) return prefix .. 'woke:' .. pubkey end
local function wakes_key(prefix) return prefix .. 'wakes' end
local function waiting_key(prefix, name) return prefix .. 'waiting:' .. name end
local function paused_key(prefix) return prefix .. 'paused' end
local function pauses_key(prefix) return prefix .. 'pauses' end
local function waiters_key(prefix) return prefix .. 'waiters' end
local function traced_key(prefix) return prefix .. 'traced' end
local function trace_key(prefix, name) return prefix .. 'trace:' .. name end
local function stats_key(prefix) return prefix .. 'stats' end
local function listener_key(prefix, name) return prefix .. 'listener:' .. name end
local function listeners_key(prefix) return prefix .. 'listeners' end
local function epoch_key(prefix) return prefix .. 'epoch' end
local function lost_key(prefix) return prefix .. 'lost' end
local function cursor_key(prefix, relay, kind)
  return prefix .. 'cursor:' .. relay .. ':' .. kind
end
local function address_key_key(prefix) return prefix .. 'address_key' end
local function endpoints_key(prefix) return prefix .. 'endpoints' end
local function endpoint_key(prefix, device_id) return prefix .. 'endpoint:' .. device_id end
local function endpoints_changes_key(prefix) return prefix .. 'endpoints:changes' end
local function endpoints_writer_key(prefix) return prefix .. 'endpoints:writer' end
local function endpoints_loading_key(prefix) return prefix .. 'endpoints:loading' end
local function endpoints_loaded_key(prefix) return prefix .. 'endpoints:loaded' end
local function endpoints_to_wake_key(prefix) return prefix .. 'endpoints:to_wake' end
local function endpoints_wake_at_key(prefix) return prefix .. 'endpoints:wake_at' end

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Redis writes a whole number that a function gives it with up to 17 digits, so none of these
-- needs formatting. Milliseconds rounded up, and down.
local function ms_up(us) return math.ceil(us / 1000) end
local function ms_down(us) return math.floor(us / 1000) end

-- The same text, for a twentieth of what that costs Redis.
local function text_of(number) return string.format('%d', number) end

-- A limit, at the moment of a call: what a bucket that has been full is set to, and for how long,
-- is the same for all.
local function limit_of(now, interval, burst)
  return { now = now, interval = interval, burst = burst, arrival = text_of(now + interval),
           life = text_of(ms_up(interval)) }
end

-- GCRA: a bucket's key holds its theoretical arrival time. One that has been full, as most are, has
-- no key, and is spent by one command. Else the answer is what it holds, and it stays so.
local function spend_full(key, limit)
  return redis.call('SET', key, limit.arrival, 'NX', 'GET', 'PX', limit.life)
end

-- The microseconds to wait, if more than 0; else what the key is to hold when the bucket has been
-- spent. A time further ahead than an empty bucket has means that the clock was set back; it must
-- not lock anybody out.
local function look(held, limit)
  local now, arrival = limit.now, tonumber(held) or limit.now
  if arrival < now or arrival > now + limit.burst * limit.interval then arrival = now end
  return arrival - now - (limit.burst - 1) * limit.interval, arrival + limit.interval
end

local function set_arrival(key, now, arrival)
  redis.call('SET', key, text_of(arrival), 'PX', text_of(ms_up(arrival - now)))
end

-- Returns 0 and spends, or the microseconds to wait and leaves the bucket as it was; then what it
-- held, for unspend().
local function spend(key, limit)
  local held = spend_full(key, limit)
  if not held then return 0, held end
  local wait, arrival = look(held, limit)
  if wait > 0 then return wait, held end
  set_arrival(key, limit.now, arrival)
  return 0, held
end

local function unspend(key, limit, held)
  local arrival = tonumber(held) or 0
  if arrival <= limit.now then
    redis.call('DEL', key)
  else
    set_arrival(key, limit.now, arrival)
  end
end

local function spend_address(prefix, now, bucket, hash, interval, burst)
  if hash == '' then return 0 end
  return spend(address_limit_key(prefix, bucket, hash), limit_of(now, interval, burst))
end

local function queue(wakes, pubkey, via, not_before_ms)
  redis.call('XADD', wakes, '*', 'pk', pubkey, 'via', via, 'not_before', not_before_ms)
end

local function queue_wake(prefix, pubkey, via, not_before)
  queue(wakes_key(prefix), pubkey, via, text_of(ms_up(not_before)))
end

-- Deferral. A pubkey over its limit has one wake waiting, and until the limit allows that,
-- due:<pubkey> says so: what comes meanwhile is covered by it and queues nothing.
--   * The note is made before any look at the registry, so that notify's answers are the same for
--     who is registered and who is not. Where nobody is, no wake is waiting; register removes the
--     note.
--   * As long as the note is there the wake must not be pushed: what came after that would be lost.
--     So it is due DEFERRED_US after the note's end: by that the dispatcher, which reads
--     milliseconds, tells it from one that is due at once. What two clocks may differ by is added
--     there (inbox.c).
--   * A silent wake becomes a visible one by a second entry; the dispatcher makes one push of both.
--   * An event is noted as a visible wake; where it turns out to be a silent one, the note is put
--     right once the registry has been looked at.

-- What has been noted, if it still holds: what is to hold for longer than the pubkey has to wait
-- was noted before the clock was set back.
local function noted_deferral(key, wait)
  local noted = redis.call('GET', key)
  return noted and redis.call('PTTL', key) <= ms_up(wait) + CLOCK_SLACK_MS and noted
end

local function covers(noted, via)
  return (RANK[noted] or 0) >= RANK[via]
end

-- Notes that a pubkey over its limit has its deferred wake. True where one is still to be queued:
-- there was none, or none that covers this one. Then also what had been noted, or false.
local function note_deferred(prefix, pubkey, via, wait)
  local key = due_key(prefix, pubkey)
  local noted = noted_deferral(key, wait)
  if noted and covers(noted, via) then return false end
  if noted then
    redis.call('SET', key, via, 'KEEPTTL')
  else
    redis.call('SET', key, via, 'PX', ms_up(wait))
  end
  return true, noted
end

-- What was to be deferred is not, after all: what had been noted holds.
local function unnote_deferred(prefix, pubkey, noted)
  local key = due_key(prefix, pubkey)
  if noted then
    redis.call('SET', key, noted, 'KEEPTTL')
  else
    redis.call('DEL', key)
  end
end

-- New registrations leave room in Redis for limits, wakes and renewals, so that who registers without
-- end can silence nobody. What was looked at is kept between calls, by Redis itself: one verdict for
-- all workers, and a flood asks no oftener.
local memory = { looked_at = 0, admitted = 0, is_short = false }

local function look_at_memory(now)
  local info = redis.call('INFO', 'memory')
  local most = tonumber(string.match(info, '\nmaxmemory:(%d+)')) or 0
  local used = tonumber(string.match(info, '\nused_memory:(%d+)')) or 0
  memory.looked_at, memory.admitted = now, 0
  memory.is_short = most > 0 and used > most / 100 * ROOM_PERCENT
end

local function is_short_of_memory(now)
  if math.abs(now - memory.looked_at) >= MEMORY_EVERY_US or memory.admitted >= MEMORY_EVERY then
    look_at_memory(now)
  end
  return memory.is_short
end

-- Counts. A registration expires at a whole five minutes, its step. `live` has how many of each platform
-- there are, and how many of these leave with each step, so that the counts are exact though Redis
-- removes what has expired by itself, and tells nobody. `live:steps` has the steps in their order.
-- Those that have passed are taken off by who reads, and removed by who writes.
local function expiry_of(now, ttl_ms)
  return math.ceil((ms_down(now) + ttl_ms) / STEP_MS) * STEP_MS
end

local function step_of(expiry) return text_of(expiry / 1000) end
local function step_field(platform, step) return platform .. ':' .. step end

local function join_step(prefix, platform, expiry, n)
  local step = step_of(expiry)
  if redis.call('HINCRBY', live_key(prefix), step_field(platform, step), n) == n then
    redis.call('ZADD', steps_key(prefix), step, step)
  end
end

-- Whether it was among those that leave with this step.
local function leave_step(prefix, platform, expiry)
  local field = step_field(platform, step_of(expiry))
  local left = redis.call('HINCRBY', live_key(prefix), field, -1)
  if left <= 0 then redis.call('HDEL', live_key(prefix), field) end
  return left >= 0
end

local function count_in(prefix, platform, expiry, n)
  redis.call('HINCRBY', live_key(prefix), platform, n)
  join_step(prefix, platform, expiry, n)
end

-- One that is counted, unless it has left with the step `before`, leaves with another.
local function count_on(prefix, platform, before, expiry)
  if not leave_step(prefix, platform, before) then
    redis.call('HINCRBY', live_key(prefix), platform, 1)
  end
  join_step(prefix, platform, expiry, 1)
end

-- What there is of a registration before it is replaced or removed; nil where there is none.
local function held_registration(prefix, pubkey)
  local key = token_key(prefix, pubkey)
  local found = redis.call('HMGET', key, 'platform', 'device_id', 'registered_at')
  if not found[1] then return nil end
  return { platform = found[1], device_id = found[2] or nil, since = found[3],
           expiry = redis.call('PEXPIRETIME', key) }
end

-- Registrations of schema 2 are not counted before they are adopted: they expire between two steps.
-- A key past its expiry may still be seen: it leaves, or has left, with its step, as has one that
-- was to be gone before the clock was set back.
local function leaves_with_a_step(now, expiry)
  return expiry % STEP_MS == 0 and expiry > ms_down(now)
end

-- Stand-ins (below), which have no time of registration, are not counted, either. How many the
-- count is lower then.
local function count_out(prefix, now, registration)
  local expiry, platform = registration.expiry, registration.platform
  if not registration.since or not leaves_with_a_step(now, expiry) then return 0 end
  if not leave_step(prefix, platform, expiry) then return 0 end
  redis.call('HINCRBY', live_key(prefix), platform, -1)
  return 1
end

local function passed_steps(prefix, now, offset)
  return redis.call('ZRANGE', steps_key(prefix), '-inf', text_of(now / 1000000), 'BYSCORE', 'LIMIT',
                    offset, STEPS_PAGE)
end

-- How many registrations of a platform have left with these steps; and the fields that say so.
local function left_with(prefix, platform, steps)
  local fields, left = {}, 0
  if #steps == 0 then return 0, fields end
  for i, step in ipairs(steps) do fields[i] = step_field(platform, step) end
  for _, n in ipairs(redis.call('HMGET', live_key(prefix), unpack(fields))) do
    left = left + (tonumber(n) or 0)
  end
  return left, fields
end

-- Live registrations, in the order of PLATFORMS; then how many steps are to be removed.
local function count_live(prefix, now)
  local counts, offset = redis.call('HMGET', live_key(prefix), unpack(PLATFORMS)), 0
  for i, n in ipairs(counts) do counts[i] = tonumber(n) or 0 end
  repeat
    local steps = passed_steps(prefix, now, offset)
    for i, each in ipairs(PLATFORMS) do counts[i] = counts[i] - left_with(prefix, each, steps) end
    offset = offset + #steps
  until #steps < STEPS_PAGE
  return counts, offset
end

-- Removes some steps that have passed; how many.
local function remove_passed_steps(prefix, now)
  local steps = passed_steps(prefix, now, 0)
  if #steps == 0 then return 0 end
  for _, each in ipairs(PLATFORMS) do
    local left, fields = left_with(prefix, each, steps)
    if left > 0 then redis.call('HINCRBY', live_key(prefix), each, -left) end
    redis.call('HDEL', live_key(prefix), unpack(fields))
  end
  return redis.call('ZREM', steps_key(prefix), unpack(steps))
end

-- An endpoint that the endpoint file has brought back is registered under this name until its phone
-- registers anew, so that it can be woken like any other. It is no trade key of anybody's.
local function stand_in(device_id) return device_id .. string.rep('0', 32) end

-- Somebody may have registered the stand-in's name; that is a registration like any other.
local function is_stand_in(prefix, name)
  return not redis.call('HGET', token_key(prefix, name), 'registered_at')
end

local function drop_endpoint(prefix, device_id)
  local name = stand_in(device_id)
  redis.call('HDEL', endpoints_key(prefix), device_id)
  redis.call('DEL', endpoint_key(prefix, device_id))
  if is_stand_in(prefix, name) then redis.call('DEL', token_key(prefix, name)) end
  redis.call('INCR', endpoints_changes_key(prefix))
end

-- An endpoint goes with the last registration that uses it: when none is left, or by itself when
-- that expires.
local function settle_endpoint(prefix, device_id, now)
  local key = endpoint_key(prefix, device_id)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if #last == 0 or tonumber(last[2]) <= ms_down(now) then
    return drop_endpoint(prefix, device_id)
  end
  redis.call('PEXPIREAT', key, last[2])
end

-- Its record is the time of registration, the URL and, where one of its registrations has ever been
-- encrypted, a word for that. Here alone is the URL: its registrations have the device id.
local function use_endpoint(prefix, device_id, url, since, encrypted, pubkey, expiry)
  local key = endpoint_key(prefix, device_id)
  local record = since .. ' ' .. url
  local write = redis.call('EXISTS', key) == 0
  if encrypted and not write then
    record = redis.call('HGET', endpoints_key(prefix), device_id) or record
    write = string.sub(record, -#ENCRYPTED) ~= ENCRYPTED
  end
  if write then
    redis.call('HSET', endpoints_key(prefix), device_id, record .. (encrypted and ENCRYPTED or ''))
    redis.call('INCR', endpoints_changes_key(prefix))
  end
  redis.call('ZADD', key, expiry, pubkey)
end

local function endpoint_url(prefix, device_id)
  local record = redis.call('HGET', endpoints_key(prefix), device_id)
  return record and string.match(record, '^%S+ (%S+)') or false
end

-- The token of a registration, from these two of its fields; false where there is none.
local function token_of(prefix, token, device_id)
  return token or device_id and endpoint_url(prefix, device_id)
end

local function leave_endpoint(prefix, device_id, pubkey, now)
  redis.call('ZREM', endpoint_key(prefix, device_id), pubkey)
  settle_endpoint(prefix, device_id, now)
end

-- A registration that uses an endpoint takes the place of its stand-in, and of some that have
-- expired.
local function relieve_endpoint(prefix, device_id, now)
  local key = endpoint_key(prefix, device_id)
  local leaving = redis.call('ZRANGE', key, '-inf', ms_down(now), 'BYSCORE', 'LIMIT', 0,
                             ENDPOINT_TRIM_BATCH)
  local name = stand_in(device_id)
  if is_stand_in(prefix, name) then leaving[#leaving + 1] = name end
  if #leaving > 0 then redis.call('ZREM', key, unpack(leaving)) end
end

-- spend(prefix; bucket, hash, interval, burst): microseconds to wait, 0 if admitted
local function do_spend(keys, args)
  local bucket, hash, interval, burst = unpack(args)
  return spend_address(keys[1], now_us(), bucket, hash, interval, burst)
end

-- What notifies of one call share: made once, because making it costs as much as using it.
local function batch_of(prefix, now, interval, burst, pubkey_interval, pubkey_burst, most_wakes)
  local wakes = wakes_key(prefix)
  return { prefix = prefix, now = now, wakes = wakes, not_before_ms = text_of(ms_up(now)),
           address_limit = address_limit_key(prefix, 'notify', ''),
           by_address = limit_of(now, interval, burst), pubkey_limit = pubkey_limit_key(prefix, ''),
           by_pubkey = limit_of(now, pubkey_interval, pubkey_burst),
           room = tonumber(most_wakes) - redis.call('XLEN', wakes) }
end

local function notify(batch, hash, pubkey)
  local wait = hash == '' and 0 or spend(batch.address_limit .. hash, batch.by_address)
  if wait > 0 then return wait end
  if batch.room <= 0 then return -2 end
  wait = spend(batch.pubkey_limit .. pubkey, batch.by_pubkey)
  if wait == 0 then
    queue(batch.wakes, pubkey, 'notify', batch.not_before_ms)
  elseif note_deferred(batch.prefix, pubkey, 'notify', wait) then
    queue_wake(batch.prefix, pubkey, 'notify', batch.now + wait + DEFERRED_US)
  else
    return -1
  end
  batch.room = batch.room - 1
  return wait == 0 and 0 or -1
end

-- notify(prefix; interval, burst, pubkey interval, pubkey burst, most wakes, then for each: hash, ''
-- for no limit, and pubkey): for each 0 when admitted, microseconds to wait when refused by address,
-- -1 when by pubkey, -2 with a full queue.
-- Never looks at a registration: what it does depends on the limits and the queue alone.
local function do_notify(keys, args)
  local batch, answers = batch_of(keys[1], now_us(), unpack(args, 1, 5)), {}
  for i = 6, #args, 2 do answers[#answers + 1] = notify(batch, args[i], args[i + 1]) end
  return answers
end

local function add_field(fields, name, value)
  if not value or value == '' then return end
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- What registers of one call share. What they count in, and the deferrals that they end, is written
-- for all at once: settle_counts(), end_batch().
local function register_batch_of(prefix, now, interval, burst, ttl_ms, most, new_interval, new_burst)
  local expiry = expiry_of(now, tonumber(ttl_ms))
  return { prefix = prefix, now = now, since = text_of(math.floor(now / 1000000)),
           expiry = expiry, expiry_text = text_of(expiry), most = tonumber(most),
           address_limit = address_limit_key(prefix, 'register', ''),
           by_address = limit_of(now, interval, burst),
           new_limit = address_limit_key(prefix, 'new', ''),
           by_new = limit_of(now, new_interval, new_burst), counted = {}, due = {} }
end

local function settle_counts(batch)
  for platform, n in pairs(batch.counted) do count_in(batch.prefix, platform, batch.expiry, n) end
  batch.counted = {}
end

local function end_batch(batch)
  settle_counts(batch)
  if #batch.due > 0 then redis.call('DEL', unpack(batch.due)) end
end

-- What keeps another pubkey from being registered, or false.
local function shortage(batch)
  if not batch.room then
    settle_counts(batch)
    local counts, passed = count_live(batch.prefix, batch.now)
    if passed > 0 then remove_passed_steps(batch.prefix, batch.now) end
    batch.room = batch.most - counts[1] - counts[2]
  end
  if batch.room <= 0 then return 'full' end
  return is_short_of_memory(batch.now) and 'memory'
end

local function change_room(batch, by)
  batch.room = batch.room and batch.room + by
end

-- Spends the limits of a new pubkey, of an address and of its site if there is one, or none of them.
local function spend_new(batch, hash, site)
  if hash == '' then return 0 end
  local key, limit = batch.new_limit .. hash, batch.by_new
  local wait, held = spend(key, limit)
  if wait > 0 or site == '' then return wait end
  wait = spend(batch.new_limit .. site, limit)
  if wait > 0 then unspend(key, limit, held) end
  return wait
end

-- The word and wait of a limit that refuses it, then none is spent, or of what is short; nil where it
-- may be written. Who registers anew spends no limit of new pubkeys, nor does who finds no room.
local function refuse_register(batch, before, hash, new_hash, new_site)
  local short = not before and shortage(batch)
  local key, limit, wait, held = batch.address_limit .. hash, batch.by_address, 0, nil
  if hash ~= '' then wait, held = spend(key, limit) end
  if wait > 0 then return 'address', wait end
  if short then return short, 0 end
  if not before then wait = spend_new(batch, new_hash, new_site) end
  if wait == 0 then return nil end
  if hash ~= '' then unspend(key, limit, held) end
  return 'new', wait
end

-- Makes room for the registration of a pubkey.
local function clear_register(batch, key, pubkey, before)
  if before then
    redis.call('DEL', key)
    settle_counts(batch)
    change_room(batch, count_out(batch.prefix, batch.now, before))
  else
    memory.admitted = memory.admitted + 1
    -- An event may have noted a deferral while nobody was there to be woken.
    batch.due[#batch.due + 1] = due_key(batch.prefix, pubkey)
  end
end

local function register_one(batch, hash, pubkey, platform, token, p256dh, auth, device_id,
                            mostro_pubkey, new_hash, new_site)
  local prefix, now, expiry = batch.prefix, batch.now, batch.expiry
  local key, before = token_key(prefix, pubkey), held_registration(prefix, pubkey)
  local refused, wait = refuse_register(batch, before, hash, new_hash, new_site)
  if refused then return refused, wait end
  clear_register(batch, key, pubkey, before)
  if device_id == '' then device_id = nil end
  local fields = { 'platform', platform, 'registered_at', batch.since }
  if before then add_field(fields, 'renewed', text_of(now)) end
  if not device_id then add_field(fields, 'token', token) end
  add_field(fields, 'p256dh', p256dh)
  add_field(fields, 'auth', auth)
  add_field(fields, 'device_id', device_id)
  add_field(fields, 'mostro_pubkey', mostro_pubkey)
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIREAT', key, batch.expiry_text)
  batch.counted[platform] = (batch.counted[platform] or 0) + 1
  change_room(batch, -1)
  if before and before.device_id and before.device_id ~= device_id then
    leave_endpoint(prefix, before.device_id, pubkey, now)
  end
  if device_id then
    use_endpoint(prefix, device_id, token, batch.since, p256dh ~= '', pubkey, expiry)
    relieve_endpoint(prefix, device_id, now)
    settle_endpoint(prefix, device_id, now)
  end
  return 'ok', 0
end

-- registers(prefix; interval, burst, ttl ms, most registrations, interval and burst of new pubkeys,
--           then for each: hash, pubkey, platform, token, p256dh, auth, device id where the token is
--           an endpoint URL, or '', pubkey of the Mostro node that the phone has named, or '', hash
--           and site's hash of the limits of new pubkeys; each hash '' where there is no limit):
-- for each a word, and the microseconds to wait, or the error that Redis has met
local function do_registers(keys, args)
  local batch, answers = register_batch_of(keys[1], now_us(), unpack(args, 1, 6)), {}
  for i = 7, #args, 10 do
    local succeeds, word, wait = pcall(register_one, batch, unpack(args, i, i + 9))
    if not succeeds then
      word, wait = redis.error_reply('ERR ' .. tostring(word.err or word)), 0
    end
    answers[#answers + 1] = word
    answers[#answers + 1] = wait
  end
  end_batch(batch)
  return answers
end

-- Whether there was one.
local function remove(prefix, pubkey)
  local now, before = now_us(), held_registration(prefix, pubkey)
  if not before then return false end
  redis.call('DEL', token_key(prefix, pubkey))
  count_out(prefix, now, before)
  if before.device_id then leave_endpoint(prefix, before.device_id, pubkey, now) end
  return true
end

-- unregister(prefix; hash, interval, burst, pubkey)
local function do_unregister(keys, args)
  local hash, interval, burst, pubkey = unpack(args)
  local wait = spend_address(keys[1], now_us(), 'register', hash, interval, burst)
  if wait > 0 then return { 'address', wait } end
  if not remove(keys[1], pubkey) then return { 'absent', 0 } end
  return { 'ok', 0 }
end

-- count(prefix): live registrations of android and ios
local function do_count(keys)
  return (count_live(keys[1], now_us()))
end

-- How the wake of a registered pubkey is queued: visibly while it has not had too many of these,
-- unless only a silent one may be.
local function tone(prefix, now, pubkey, silent)
  if silent or spend(loud_key(prefix, pubkey), limit_of(now, LOUD_EVERY_US, LOUD_BURST)) > 0 then
    return 'quiet'
  end
  return 'relay'
end

-- Within the limit, or over it: then there is a deferred wake already, or `deferred` says that one
-- is to be queued and has been noted as visible.
local function wake_live(prefix, now, pubkey, silent, wait, deferred, noted)
  if wait == 0 then
    queue_wake(prefix, pubkey, tone(prefix, now, pubkey, silent), now)
    return 'queued'
  end
  local via = deferred and tone(prefix, now, pubkey, silent)
  if via == 'quiet' then
    if covers(noted, via) then
      unnote_deferred(prefix, pubkey, noted)
      return 'deferred'
    end
    redis.call('SET', due_key(prefix, pubkey), via, 'KEEPTTL')
  end
  if via then queue_wake(prefix, pubkey, via, now + wait + DEFERRED_US) end
  return 'deferred'
end

-- Catching up. What relays have stored wakes a pubkey once, CAUGHT_UP_US after the first of it, for
-- a phone that is woken asks its relays for all that they have. So a wake covers what was with its
-- relay (by_ms) before it was due, whichever listener finds it, and however much later.
local function is_caught_up(caught_up, now, via, by_ms)
  local covering, due_ms = string.match(caught_up or '', '^(%l+) (%d+)$')
  due_ms = tonumber(due_ms)
  -- One that is due much later was queued before the clock was set back.
  return due_ms and due_ms <= ms_up(now + CAUGHT_UP_US) + CLOCK_SLACK_MS and
         due_ms >= by_ms + STORED_SLACK_MS and covers(covering, via)
end

local function wake_stored(prefix, now, pubkey, silent, by_ms)
  local key = caught_up_key(prefix, pubkey)
  local caught_up = redis.call('GET', key)
  if is_caught_up(caught_up, now, silent and 'quiet' or 'relay', by_ms) then return 'covered' end
  local via = tone(prefix, now, pubkey, silent)
  if is_caught_up(caught_up, now, via, by_ms) then return 'covered' end
  queue_wake(prefix, pubkey, via, now + CAUGHT_UP_US)
  redis.call('SET', key, string.format('%s %.0f', via, ms_up(now + CAUGHT_UP_US)), 'PX',
             CAUGHT_UP_FOR_MS)
  return 'queued'
end

-- An event wakes a pubkey once: woke:<pubkey> has the ids (half of each) of those that have, or that
-- a wake has covered, and when they were taken. It is written for who is registered alone, and holds
-- the newest WOKE_MAX, so that who sends events to a pubkey takes no more memory by sending many.
-- Where ids have been forgotten for that, an event that is not among them has still woken before
--   * when it was seen in the last minutes, as a copy of it from another relay or listener was, or
--   * when it was stored and must have been sent (sent_by_ms) before the newest of them was taken: a
--     wake came after it. A covered one may have been taken CAUGHT_UP_FOR_MS after its wake.
local function number_at(id, first) return tonumber(string.sub(id, first, first + 7), 16) end

local function half_of(id)
  return struct.pack('>I4I4I4I4', number_at(id, 1), number_at(id, 9), number_at(id, 17),
                     number_at(id, 25))
end

-- When the newest was taken, where there are so many that some may have been forgotten; else nil.
local function newest_of_all(key)
  if redis.call('ZCARD', key) < WOKE_MAX then return nil end
  return tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
end

-- True where this event has woken before; else it is noted that it has.
local function was_woken(prefix, now, pubkey, id, was_seen, sent_by_ms)
  local key, half = woke_key(prefix, pubkey), half_of(id)
  if redis.call('ZSCORE', key, half) then return true end
  local newest = newest_of_all(key)
  if newest then
    if not sent_by_ms and was_seen then return true end
    -- A later one than now was taken before the clock was set back.
    if sent_by_ms and newest <= now and (sent_by_ms + CAUGHT_UP_FOR_MS) * 1000 <= newest then
      return true
    end
    redis.call('ZREMRANGEBYRANK', key, 0, -WOKE_MAX)
  end
  -- One after another, in whatever call they come, and wherever the clock is set.
  redis.call('ZADD', key, newest and math.max(now, newest + 1) or now, half)
  redis.call('PEXPIRE', key, WOKE_FOR_MS)
  return false
end

-- A live event spends its pubkey's limit once, and notes a deferral, before any look at the
-- registry: the 429s of notify must be the same for who is registered and who is not.
local function take_event(prefix, now, limit, id, pubkey, author, by_ms, sent_by_ms)
  local wait, deferred, noted, was_seen = 0, false, false, false
  if not by_ms then
    was_seen = not redis.call('SET', seen_key(prefix, id), '1', 'NX', 'PX', SEEN_FOR_MS)
  end
  if not by_ms and not was_seen then
    wait = spend(pubkey_limit_key(prefix, pubkey), limit)
    if wait > 0 then deferred, noted = note_deferred(prefix, pubkey, 'relay', wait) end
  end
  local found = redis.call('HMGET', token_key(prefix, pubkey), 'platform', 'mostro_pubkey')
  if not found[1] then return 'unregistered' end
  if was_woken(prefix, now, pubkey, id, was_seen, sent_by_ms) then
    if deferred then unnote_deferred(prefix, pubkey, noted) end
    return 'repeated'
  end
  local silent = author ~= '' and found[2] and found[2] ~= author
  if by_ms then return wake_stored(prefix, now, pubkey, silent, by_ms) end
  return wake_live(prefix, now, pubkey, silent, wait, deferred, noted)
end

-- events(prefix; interval, burst, most wakes, then for each: id, pubkey, author where it matters or
-- '', and for a stored one by when its relay had it, and by when it was sent, in ms, else '' and ''):
-- what became of each, in this order; 'full' and what follows it has not been taken
local function do_events(keys, args)
  local prefix, now, outcomes = keys[1], now_us(), {}
  local interval, burst, most_wakes = unpack(args, 1, 3)
  local limit = limit_of(now, interval, burst)
  local room = tonumber(most_wakes) - redis.call('XLEN', wakes_key(prefix))
  for i = 4, #args, 5 do
    if room <= 0 then
      outcomes[#outcomes + 1] = 'full'
      break
    end
    local id, pubkey, author, by_ms, sent_by_ms = unpack(args, i, i + 4)
    local outcome = take_event(prefix, now, limit, id, pubkey, author, tonumber(by_ms),
                               tonumber(sent_by_ms))
    if outcome == 'queued' or outcome == 'deferred' then room = room - 1 end
    outcomes[#outcomes + 1] = outcome
  end
  return outcomes
end

-- A process holds its listener's name from the time `since` on, until its heartbeat expires or
-- another takes the name. After that the wakes that it has read may be another's.
local function holds(prefix, name, since)
  return redis.call('HGET', listener_key(prefix, name), 'since') == since
end

-- Pauses. As long as an operator has the key `paused` there, no push begins, and the clock by which
-- wakes are given up stands still. `pauses` keeps when that began (the members) and ended (the
-- scores, +inf while it lasts): first and last seen by any listener.
local function is_paused(prefix)
  return redis.call('EXISTS', paused_key(prefix)) == 1
end

local function note_pause(key, now, held)
  local lasting = redis.call('ZRANGE', key, '+inf', '+inf', 'BYSCORE')
  if held and #lasting == 0 then redis.call('ZADD', key, '+inf', now) end
  if not held then
    for _, began in ipairs(lasting) do redis.call('ZADD', key, now, began) end
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - PAUSES_FOR_MS)
  redis.call('ZREMRANGEBYRANK', key, 0, -PAUSES_MAX - 1)
end

-- pauses(prefix): 1 if pushing is held, now in ms, then of each time that it was: begin, and end or 0
local function do_pauses(keys)
  local now, held = ms_down(now_us()), is_paused(keys[1])
  note_pause(pauses_key(keys[1]), now, held)
  local answer = { held and 1 or 0, now }
  local page = redis.call('ZRANGE', pauses_key(keys[1]), 0, -1, 'WITHSCORES')
  for i = 1, #page, 2 do
    answer[#answer + 1] = tonumber(page[i])
    answer[#answer + 1] = page[i + 1] == 'inf' and 0 or tonumber(page[i + 1])
  end
  return answer
end

local function drop_entries(prefix, ids)
  redis.call('XACK', wakes_key(prefix), GROUP, unpack(ids))
  return redis.call('XDEL', wakes_key(prefix), unpack(ids))
end

-- Which of the registrations that a pubkey has had this is: since when, and since which microsecond
-- where it took the place of one that was still there. Expiries say less: they are whole steps, and
-- a push that is delivered changes them. 0 for a stand-in.
local function version_of(registered_at, renewed)
  return tonumber(renewed or registered_at or 0)
end

-- What a push needs: { token, platform, p256dh, auth, version }, token false if absent.
local function registration_of(prefix, pubkey)
  local found = redis.call('HMGET', token_key(prefix, pubkey), 'token', 'platform', 'p256dh', 'auth',
                           'device_id', 'registered_at', 'renewed')
  return { token_of(prefix, found[1], found[5]), found[2], found[3], found[4],
           version_of(found[6], found[7]) }
end

-- lookup(prefix; name, since, pubkey ...): the registration of each. It comes right before the
-- pushes, so 0 where the name is no longer held, and 1 where an operator holds pushing.
local function do_lookup(keys, args)
  local name, since = unpack(args, 1, 2)
  if not holds(keys[1], name, since) then return 0 end
  if is_paused(keys[1]) then return 1 end
  local found = {}
  for i = 3, #args do found[i - 2] = registration_of(keys[1], args[i]) end
  return found
end

-- Waiting. The stream is an inbox: a listener takes what comes at once. What is for a pubkey that is
-- registered goes on to waiting:<listener>, a sorted set: kind and pubkey -> when due, in ms.
--   * All of a batch leave the inbox in the same call, registered or not, so that its length, on
--     which notify's 503 depends, tells nothing of anybody.
--   * A wake that is due is pushed at once, so its registration comes with it, as lookup would give
--     it. The push of a notify begins later (notify_delay.h), and is looked up then.
--   * One member a kind and pubkey: further wakes of it raise its score, at least by one. So a push,
--     which has begun with one score, tells when it ends whether something has come since. When
--     each of them is due the listener knows; after a restart it is the latest.
--   * waiters has the names of all listeners that may have such a set: a listener is among them
--     from the time it takes its name until it is gone and its set has been taken over.
local function put_waiting(key, member, due)
  if redis.call('ZADD', key, 'NX', due, member) == 1 then return due end
  local score = math.max(tonumber(redis.call('ZSCORE', key, member)) + 1, due)
  redis.call('ZADD', key, score, member)
  return score
end

-- take(prefix; name, since, most, then for each entry read: id, kind, pubkey, due in ms): the
-- entries leave the inbox; for each the score with which it waits, or -1 where its pubkey is not
-- registered. For up to `most` that are to be pushed at once { score, registration } instead, none
-- where an operator holds pushing. 0 where the name is no longer held: nothing is taken.
local function do_take(keys, args)
  local name, since, most = unpack(args, 1, 3)
  local prefix, ids, taken = keys[1], {}, {}
  if not holds(prefix, name, since) then return 0 end
  local waiting, now = waiting_key(prefix, name), ms_up(now_us())
  local room = is_paused(prefix) and 0 or tonumber(most)
  for i = 4, #args, 4 do
    local id, via, pubkey, due = unpack(args, i, i + 3)
    local at_once, score = room > 0 and via ~= 'notify' and tonumber(due) <= now, -1
    local found = at_once and registration_of(prefix, pubkey)
    if found and found[2] or not found and redis.call('EXISTS', token_key(prefix, pubkey)) == 1 then
      score = put_waiting(waiting, via .. ':' .. pubkey, tonumber(due))
    end
    if found and found[1] then room = room - 1 end
    ids[#ids + 1] = id
    taken[#taken + 1] = found and found[1] and { score, found } or score
  end
  drop_entries(prefix, ids)
  return taken
end

-- drop(prefix; entry id ...): entries of the inbox that are no wakes
local function do_drop(keys, args)
  return drop_entries(keys[1], args)
end

-- waiting(prefix; name, since, cursor): some of what waits: the next cursor, now in ms, then kind
-- and pubkey in one, and score, of each; 0 where the name is no longer held. One may come twice, and
-- one that comes or goes meanwhile may not.
local function do_waiting(keys, args)
  local name, since, cursor = unpack(args)
  if not holds(keys[1], name, since) then return 0 end
  local page = redis.call('ZSCAN', waiting_key(keys[1], name), cursor, 'COUNT', WAITING_SCAN)
  local answer = { page[1], ms_down(now_us()) }
  for _, each in ipairs(page[2]) do answer[#answer + 1] = each end
  return answer
end

-- A push that was delivered shows that its phone is there: the registration that it was made with
-- lives for the full time from then on, but not beyond twice as long after it was registered. One
-- that was renewed in this step, as in a burst of wakes, takes one command.
local function renew(prefix, ttl_ms, pubkey, version)
  local key = token_key(prefix, pubkey)
  if redis.call('PTTL', key) >= ttl_ms then return end
  local now, before = now_us(), redis.call('PEXPIRETIME', key)
  if not leaves_with_a_step(now, before) then return end
  local found = redis.call('HMGET', key, 'platform', 'device_id', 'registered_at', 'renewed')
  if version_of(found[3], found[4]) ~= version then return end
  local most = math.floor((found[3] * 1000 + 2 * ttl_ms) / STEP_MS) * STEP_MS
  local expiry = math.min(expiry_of(now, ttl_ms), most)
  if expiry <= before then return end
  redis.call('PEXPIREAT', key, text_of(expiry))
  count_on(prefix, found[1], before, expiry)
  if found[2] then
    redis.call('ZADD', endpoint_key(prefix, found[2]), 'XX', expiry, pubkey)
    redis.call('PEXPIREAT', endpoint_key(prefix, found[2]), text_of(expiry), 'GT')
  end
end

-- done(prefix; name, ttl ms, then for each: kind, pubkey, score, version of the registration that
-- the push was delivered to or ''): what waited is done with, unless its score has grown since; how
-- many were. Such a registration is renewed.
local function do_done(keys, args)
  local name, ttl_ms = unpack(args, 1, 2)
  local waiting, done = waiting_key(keys[1], name), 0
  ttl_ms = tonumber(ttl_ms)
  for i = 3, #args, 4 do
    local via, pubkey, covered, version = unpack(args, i, i + 3)
    local member = via .. ':' .. pubkey
    local score = redis.call('ZSCORE', waiting, member)
    if score and tonumber(score) <= tonumber(covered) then
      done = done + redis.call('ZREM', waiting, member)
    end
    if version ~= '' then renew(keys[1], ttl_ms, pubkey, tonumber(version)) end
  end
  return done
end

-- forget(prefix; pubkey, token, version): removes a registration that still has this token and has
-- not been renewed since it was looked up
local function do_forget(keys, args)
  local pubkey, token, version = unpack(args)
  local held = registration_of(keys[1], pubkey)
  if held[1] ~= token or held[5] ~= tonumber(version) then return 0 end
  return remove(keys[1], pubkey) and 1 or 0
end

-- A name changes hands, or nobody has held it. The process that held it may still be finishing its
-- pushes until before_leaves_by.
local function take_name(prefix, name, now, instance, holder)
  local key = listener_key(prefix, name)
  local leaves_by = tonumber(redis.call('HGET', key, 'leaves_by')) or 0
  redis.call('DEL', key)
  redis.call('HSET', key, 'instance', instance, 'since', now)
  if holder then
    redis.call('HSET', key, 'before', holder, 'before_leaves_by',
               math.max(leaves_by, now + NOTICE_US))
  end
  redis.call('ZADD', waiters_key(prefix), ms_down(now), name)
end

-- heartbeat(prefix; name, instance, 'first' or 'again', field, value ...): { since, 1 if the process
-- that held the name before may still be finishing its pushes }; { 0, 0 } when another has taken it
local function do_heartbeat(keys, args)
  local name, instance, which = unpack(args, 1, 3)
  local key, now = listener_key(keys[1], name), now_us()
  local holder = redis.call('HGET', key, 'instance')
  if which ~= 'first' and holder and holder ~= instance then return { 0, 0 } end
  if holder ~= instance then take_name(keys[1], name, now, instance, holder) end
  redis.call('HSET', key, unpack(args, 4))
  redis.call('EXPIRE', key, HEARTBEAT_S)
  redis.call('ZADD', listeners_key(keys[1]), math.floor(now / 1000000), name)
  redis.call('ZREMRANGEBYSCORE', listeners_key(keys[1]), '-inf',
             math.floor(now / 1000000) - HEARTBEAT_S)
  local held = redis.call('HMGET', key, 'since', 'before_leaves_by')
  local wait = (tonumber(held[2]) or now) - now
  -- A longer one means that the clock was set back.
  return { tonumber(held[1]), wait > 0 and wait <= LEAVE_US and 1 or 0 }
end

-- leave(prefix; name, instance, 'begins' or 'ends'): this process, which holds the name or has been
-- replaced, begins no more pushes, or has come to the end of all
local function do_leave(keys, args)
  local name, instance, what = unpack(args)
  local key, begins = listener_key(keys[1], name), what == 'begins'
  local leaves_by = begins and now_us() + LEAVE_US or 0
  local held = redis.call('HMGET', key, 'instance', 'before')
  if held[2] == instance then
    redis.call('HSET', key, 'before_leaves_by', leaves_by)
  elseif held[1] == instance and begins then
    redis.call('HSET', key, 'leaves_by', leaves_by)
  elseif held[1] == instance then
    redis.call('DEL', key)
    redis.call('ZREM', listeners_key(keys[1]), name)
  end
  return 1
end

-- Consumers are listeners by their names, but an operator can make others.
local function is_alive(prefix, name)
  return #name <= NAME_MAX and redis.call('EXISTS', listener_key(prefix, name)) == 1
end

-- Has up to `most` pending entries of a consumer become those of `name`; how many have.
local function claim(wakes, consumer, name, most)
  local ids = {}
  for i, entry in ipairs(redis.call('XPENDING', wakes, GROUP, '-', '+', most, consumer)) do
    ids[i] = entry[1]
  end
  if #ids == 0 then return 0 end
  ids[#ids + 1] = 'JUSTID'
  -- Those whose entry has been deleted just cease to be pending.
  return #redis.call('XCLAIM', wakes, GROUP, name, 0, unpack(ids))
end

-- The entries of the inbox that somebody who is gone had read and not taken.
local function adopt_entries(prefix, name, most)
  local wakes, adopted = wakes_key(prefix), 0
  local consumers = redis.pcall('XINFO', 'CONSUMERS', wakes, GROUP)
  if consumers.err then return 0 end -- no queue yet, or no group
  for _, consumer in ipairs(consumers) do
    local other = consumer[2]
    if other ~= name and adopted < most and not is_alive(prefix, other) then
      adopted = adopted + claim(wakes, other, name, most - adopted)
      if #redis.call('XPENDING', wakes, GROUP, '-', '+', 1, other) == 0 then
        redis.call('XGROUP', 'DELCONSUMER', wakes, GROUP, other)
      end
    end
  end
  return adopted
end

-- Unites up to `most` members of one set of waiting wakes with another, each with its higher score;
-- how many were left to be united.
local function unite(from, to, most)
  local page = redis.call('ZRANGE', from, 0, most - 1, 'WITHSCORES')
  if #page == 0 then return 0 end
  local moved = {}
  for i = 1, #page, 2 do
    moved[i], moved[i + 1] = page[i + 1], page[i]
  end
  redis.call('ZADD', to, 'GT', unpack(moved))
  redis.call('ZREMRANGEBYRANK', from, 0, #page / 2 - 1)
  return #page / 2
end

local function adopt_waiting(prefix, name, most)
  local adopted = 0
  for _, other in ipairs(redis.call('ZRANGE', waiters_key(prefix), 0, -1)) do
    if other ~= name and adopted < most and not is_alive(prefix, other) then
      local from = waiting_key(prefix, other)
      adopted = adopted + unite(from, waiting_key(prefix, name), most - adopted)
      if redis.call('EXISTS', from) == 0 then redis.call('ZREM', waiters_key(prefix), other) end
    end
  end
  return adopted
end

-- adopt(prefix; name, since, most): the wakes of listeners without a heartbeat become those of
-- `name`, up to `most` in one call: what they had read and not taken, and what waited; how many
-- have, -1 where the name is not held. Not those of a live one, however long they wait: they may be
-- deferred, or their back end held.
local function do_adopt(keys, args)
  local name, since, most = unpack(args)
  if not holds(keys[1], name, since) then return -1 end
  most = tonumber(most)
  local adopted = adopt_entries(keys[1], name, most)
  return adopted + adopt_waiting(keys[1], name, most - adopted)
end

-- That data were lost before these, with so many registrations, 0 where nobody has counted them; of
-- several who have, the one who had more is right. Known for as long as those would have lived,
-- unless an operator removes it.
local function note_loss(prefix, registrations, ttl_ms)
  local key = lost_key(prefix)
  local noted = redis.call('HGET', key, 'registrations')
  if noted and tonumber(noted) >= registrations then return end
  if not noted then
    redis.call('HSET', key, 'at', text_of(now_us() / 1000000))
  end
  redis.call('HSET', key, 'registrations', text_of(registrations))
  if not noted then redis.call('PEXPIRE', key, ttl_ms) end
end

-- When data were lost, in Unix seconds, and how many registrations; 0 and 0 where none were.
local function noted_loss(prefix)
  local noted = redis.call('HMGET', lost_key(prefix), 'at', 'registrations')
  return tonumber(noted[1] or 0), tonumber(noted[2] or 0)
end

-- epoch(prefix; candidate, epoch that the caller knows or '', registrations that he has counted in
-- it, ttl ms): { 1 if there was none: Redis has lost its data, or is new, else 0; the epoch, which is
-- the candidate in the first case; what has been lost: at, registrations }
local function do_epoch(keys, args)
  local candidate, known, counted, ttl_ms = unpack(args)
  local prefix, key = keys[1], epoch_key(keys[1])
  local is_new = redis.call('SET', key, candidate, 'NX') and 1 or 0
  local epoch = redis.call('GET', key)
  if known ~= '' and known ~= epoch and tonumber(counted) > 0 then
    note_loss(prefix, tonumber(counted), ttl_ms)
  end
  return { is_new, epoch, noted_loss(prefix) }
end

-- Moves the cursor of one kind of a relay's events, where all between the two moments has been
-- taken, and returns it: '' where there is none.
local function move_cursor(key, now, from, to)
  local cursor = tonumber(redis.call('GET', key) or '')
  -- Redis's clock was set back: how far is unknown, so all that catching up reaches is in doubt.
  if cursor and cursor > now then cursor = now - REACH_MS end
  if to and (not cursor or from <= cursor and cursor < to) then
    cursor = to
    redis.call('SET', key, cursor, 'PX', CURSOR_FOR_MS)
  end
  return cursor or ''
end

-- cursors(prefix; relay, epoch, then for each: kind, from ms, to ms): { epoch, now in ms, cursors
-- in ms ... }. Two moments tell that all that came of this kind between them has been taken; they
-- are '' where there is nothing to tell. In another epoch than the caller's nothing is moved: his
-- moments are of data that is gone.
local function do_cursors(keys, args)
  local relay, callers_epoch = unpack(args, 1, 2)
  local epoch, now = redis.call('GET', epoch_key(keys[1])) or '', ms_down(now_us())
  local answer, same_epoch = { epoch, now }, epoch ~= '' and epoch == callers_epoch
  for i = 3, #args, 3 do
    local kind, from, to = unpack(args, i, i + 2)
    answer[#answer + 1] = move_cursor(cursor_key(keys[1], relay, kind), now, tonumber(from),
                                      same_epoch and tonumber(to))
  end
  return answer
end

-- Sums over the listeners whose heartbeat is fresh: how many there are, then these fields of each.
local LISTENER_SUMS = { 'relays_connected', 'relays_configured', 'in_flight', 'backlog',
                        'relays_may_hide_wraps' }

local function sum_listeners(prefix)
  local sums = { 0 }
  for i = 1, #LISTENER_SUMS do sums[i + 1] = 0 end
  for _, name in ipairs(redis.call('ZRANGE', listeners_key(prefix), 0, -1)) do
    local values = redis.call('HMGET', listener_key(prefix, name), 'instance',
                              unpack(LISTENER_SUMS))
    if values[1] then
      sums[1] = sums[1] + 1
      for i = 2, #values do sums[i] = sums[i] + (tonumber(values[i]) or 0) end
    end
  end
  return sums
end

local function count_waiting(prefix)
  local n = 0
  for _, name in ipairs(redis.call('ZRANGE', waiters_key(prefix), 0, -1)) do
    n = n + redis.call('ZCARD', waiting_key(prefix, name))
  end
  return n
end

-- state(prefix): { live registrations of each platform, length of the inbox, wakes that wait, 1 where
-- new registrations are refused for want of memory, 1 where an operator holds pushing, when data
-- were lost in Unix seconds or 0, how many registrations or 0, the listeners' sums }
local function do_state(keys)
  local now = now_us()
  local values = count_live(keys[1], now)
  values[#values + 1] = redis.call('XLEN', wakes_key(keys[1]))
  values[#values + 1] = count_waiting(keys[1])
  values[#values + 1] = is_short_of_memory(now) and 1 or 0
  values[#values + 1] = is_paused(keys[1]) and 1 or 0
  values[#values + 1], values[#values + 2] = noted_loss(keys[1])
  for _, each in ipairs(sum_listeners(keys[1])) do values[#values + 1] = each end
  return values
end

-- metrics(prefix; counter ...): the state, then the counters
local function do_metrics(keys, args)
  local values = do_state(keys)
  for _, each in ipairs(redis.call('HMGET', stats_key(keys[1]), unpack(args))) do
    values[#values + 1] = tonumber(each) or 0
  end
  return values
end

local function register(name, callback, flags)
  redis.register_function { function_name = 'mostro3_' .. name, callback = callback,
                            flags = flags or {} }
end

-- Lua allows 200 locals of a function, and of a file: what only some functions need is local to them.
do

-- Traces. An operator may have each step of a pubkey's wakes told for a while. `traced` has the name
-- by which the listeners' logs call it, a hash drawn for this trace, a space and the pubkey, and when
-- the trace ends, in ms; trace:<name> has its last steps, with their times.
local TRACE_NAME = 8   -- its length
local TRACED_MAX = 8   -- at once,
local TRACE_STEPS = 32 -- and the last steps that are kept of each
local SHOWN_MAX = 16   -- of what `why` tells in lists

local function traces(prefix, now_ms)
  local found = {}
  local page = redis.call('ZRANGE', traced_key(prefix), '(' .. text_of(now_ms), '+inf', 'BYSCORE',
                          'LIMIT', 0, TRACED_MAX, 'WITHSCORES')
  for i = 1, #page, 2 do
    found[#found + 1] = { name = string.sub(page[i], 1, TRACE_NAME),
                          pubkey = string.sub(page[i], TRACE_NAME + 2), ends = tonumber(page[i + 1]) }
  end
  return found
end

local function trace_of(prefix, pubkey, now_ms)
  local found = traces(prefix, now_ms)
  for _, each in ipairs(found) do
    if each.pubkey == pubkey then return each, #found end
  end
  return nil, #found
end

-- trace(prefix; pubkey, name, for ms): { the name by which it is traced, which is another where it
-- is traced already, until when in ms }; '' where too many are. For 0 ms it ends, and there was none
-- where that is ''.
local function do_trace(keys, args)
  local pubkey, name, for_ms = args[1], args[2], tonumber(args[3])
  local prefix, now, key = keys[1], ms_down(now_us()), traced_key(keys[1])
  local held, n = trace_of(prefix, pubkey, now)
  if not held and (n >= TRACED_MAX or for_ms == 0) then return { '', 0 } end
  name = held and held.name or name
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if for_ms == 0 then
    redis.call('ZREM', key, name .. ' ' .. pubkey)
    redis.call('DEL', trace_key(prefix, name))
    return { name, 0 }
  end
  local ends = now + for_ms
  redis.call('ZADD', key, ends, name .. ' ' .. pubkey)
  redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  redis.call('PEXPIREAT', trace_key(prefix, name), ends)
  return { name, ends }
end

local function keep_step(prefix, now, listener, name, age_ms, text, ends)
  local key, at = trace_key(prefix, name), now - age_ms
  redis.call('ZADD', key, at, text_of(at) .. ' ' .. listener .. ' ' .. text)
  redis.call('ZREMRANGEBYRANK', key, 0, -TRACE_STEPS - 1)
  redis.call('PEXPIREAT', key, ends)
end

-- traced(prefix; listener, then for each step: name, how many ms ago, text): keeps the steps, and
-- answers for each trace: name, pubkey, for how many ms more
local function do_traced(keys, args)
  local prefix, now, ends, answer = keys[1], ms_down(now_us()), {}, {}
  for _, each in ipairs(traces(prefix, now)) do
    ends[each.name] = each.ends
    answer[#answer + 1] = each.name
    answer[#answer + 1] = each.pubkey
    answer[#answer + 1] = each.ends - now
  end
  for i = 2, #args, 3 do
    local name, age_ms, text = unpack(args, i, i + 2)
    if ends[name] then keep_step(prefix, now, args[1], name, age_ms, text, ends[name]) end
  end
  return answer
end

-- An owner's question. Nothing here writes, or spends.
local function wait_of(key, now, interval, burst)
  local wait = look(redis.call('GET', key), limit_of(now, interval, burst))
  return math.max(0, wait)
end

local function told_registration(prefix, pubkey)
  local key = token_key(prefix, pubkey)
  local found = redis.call('HMGET', key, 'platform', 'token', 'device_id', 'p256dh', 'registered_at')
  if not found[1] then return {} end
  local token = token_of(prefix, found[2], found[3])
  return { found[1], token and 1 or 0, found[3] and 1 or 0, found[4] and 1 or 0,
           tonumber(found[5]) or 0, redis.call('PEXPIRETIME', key), found[3] and token or '' }
end

local function told_limits(prefix, now, pubkey, interval, burst)
  local due, woke = due_key(prefix, pubkey), woke_key(prefix, pubkey)
  return { ms_up(wait_of(pubkey_limit_key(prefix, pubkey), now, interval, burst)),
           ms_up(wait_of(loud_key(prefix, pubkey), now, LOUD_EVERY_US, LOUD_BURST)),
           math.max(0, redis.call('PTTL', due)), redis.call('ZCARD', woke),
           ms_down(tonumber(redis.call('ZRANGE', woke, -1, -1, 'WITHSCORES')[2] or 0)) }
end

-- Of each wake that waits: its listener, 1 if that has a heartbeat, its kind, since or until when.
local function told_waits(prefix, pubkey)
  local waits = {}
  for _, name in ipairs(redis.call('ZRANGE', waiters_key(prefix), 0, -1)) do
    for _, via in ipairs { 'relay', 'quiet', 'notify' } do
      local due = redis.call('ZSCORE', waiting_key(prefix, name), via .. ':' .. pubkey)
      if due and #waits < 4 * SHOWN_MAX then
        waits[#waits + 1] = name
        waits[#waits + 1] = redis.call('EXISTS', listener_key(prefix, name))
        waits[#waits + 1] = via
        waits[#waits + 1] = tonumber(due)
      end
    end
  end
  return waits
end

local function told_listeners(prefix)
  local listeners = {}
  for _, name in ipairs(redis.call('ZRANGE', listeners_key(prefix), 0, -1)) do
    local found = redis.call('HMGET', listener_key(prefix, name), 'relays_connected',
                             'relays_configured', 'report', 'held_hosts')
    if found[1] and #listeners < 5 * SHOWN_MAX then
      listeners[#listeners + 1] = name
      listeners[#listeners + 1] = tonumber(found[1])
      listeners[#listeners + 1] = tonumber(found[2])
      listeners[#listeners + 1] = found[3] or ''
      listeners[#listeners + 1] = found[4] or ''
    end
  end
  return listeners
end

local function told_trace(prefix, pubkey, now_ms)
  local trace = trace_of(prefix, pubkey, now_ms)
  if not trace then return { '', 0 } end
  local steps = redis.call('ZRANGE', trace_key(prefix, trace.name), 0, -1)
  return { trace.name, trace.ends, unpack(steps) }
end

-- why(prefix; pubkey, interval, burst): now in ms; { platform, 1 if it has a token, 1 if that is an
-- endpoint, 1 if it has keys, since s, until ms, the endpoint } or {}; ms until it is within its limit,
-- until a wake may be visible, until its deferred one is due, how many events have woken it and when the
-- last, in ms; wakes that wait; { length of the inbox, 1 while an operator holds pushing, data lost at
-- and how many }; listeners and of each the relays connected, of all, its report, and the hosts that it
-- holds; { name of its trace, until ms, steps }
local function do_why(keys, args)
  local pubkey, interval, burst = unpack(args)
  local prefix, now = keys[1], now_us()
  return { ms_down(now), told_registration(prefix, pubkey),
           told_limits(prefix, now, pubkey, interval, burst), told_waits(prefix, pubkey),
           { redis.call('XLEN', wakes_key(prefix)), is_paused(prefix) and 1 or 0,
             noted_loss(prefix) },
           told_listeners(prefix), told_trace(prefix, pubkey, ms_down(now)) }
end

register('trace', do_trace)
register('traced', do_traced, { 'allow-oom' })
register('why', do_why, { 'no-writes' })

end

-- address_key(prefix; candidate): the key of the address hashes, the candidate if there was none
local function do_address_key(keys, args)
  local candidate = args[1]
  redis.call('SET', address_key_key(keys[1]), candidate, 'NX')
  return redis.call('GET', address_key_key(keys[1]))
end

-- add(prefix; counter, n ...)
local function do_add(keys, args)
  for i = 1, #args, 2 do
    local counter, n = unpack(args, i, i + 1)
    redis.call('HINCRBY', stats_key(keys[1]), counter, n)
  end
  return 1
end

-- Programs of schema 2 kept a set of each platform's registrations, tokens:<platform>. Counts some
-- of them; how many have left the set.
local function adopt_members(prefix, now, platform)
  local key = prefix .. 'tokens:' .. platform
  local members = redis.call('ZRANGE', key, 0, STEPS_PAGE - 1)
  for _, pubkey in ipairs(members) do
    local found = held_registration(prefix, pubkey)
    -- Rounded down, for its endpoint must not expire first.
    local expiry = found and math.floor(found.expiry / STEP_MS) * STEP_MS
    if found and found.platform == platform and expiry < found.expiry and expiry > ms_down(now) then
      redis.call('PEXPIREAT', token_key(prefix, pubkey), text_of(expiry))
      count_in(prefix, platform, expiry, 1)
    end
  end
  if #members > 0 then redis.call('ZREM', key, unpack(members)) end
  return #members
end

-- trim(prefix): removes some steps that have passed, and takes over some of what schema 2 has left,
-- not all, so that nobody has to wait for long; how many
local function do_trim(keys)
  local now = now_us()
  local trimmed = remove_passed_steps(keys[1], now)
  for _, each in ipairs(PLATFORMS) do trimmed = trimmed + adopt_members(keys[1], now, each) end
  return trimmed
end

-- Whether this process, which must hold its listener's name, is the one that looks after the
-- endpoint file; its listener stays it for WRITER_MS.
local function is_writer(prefix, name, instance)
  if redis.call('HGET', listener_key(prefix, name), 'instance') ~= instance then return false end
  local key = endpoints_writer_key(prefix)
  local writer = redis.call('GET', key)
  if writer and writer ~= name then return false end
  redis.call('SET', key, name, 'PX', WRITER_MS)
  return true
end

-- endpoints_state(prefix; name, instance): { 1 if it looks after the file, when the file was loaded into
-- this data or 0, how often the endpoints have changed }
local function do_endpoints_state(keys, args)
  local name, instance = unpack(args)
  return { is_writer(keys[1], name, instance) and 1 or 0,
           tonumber(redis.call('GET', endpoints_loaded_key(keys[1])) or 0),
           tonumber(redis.call('GET', endpoints_changes_key(keys[1])) or 0) }
end

-- endpoints_begin(prefix; name, instance): what the file holds is about to be loaded; 0 if this is not
-- who looks after it
local function do_endpoints_begin(keys, args)
  local name, instance = unpack(args)
  if not is_writer(keys[1], name, instance) then return 0 end
  redis.call('SET', endpoints_loading_key(keys[1]), instance)
  return 1
end

-- Whether what this process has loaded since it began is still here.
local function is_loading(prefix, name, instance)
  return is_writer(prefix, name, instance) and
         redis.call('GET', endpoints_loading_key(prefix)) == instance
end

-- endpoints_load(prefix; name, instance, ttl ms, then for each: device id, URL, time of registration,
-- '' for now, 'encrypted' or '', its turn): brings back what the file holds, to be woken, the lowest
-- turn first; 0 if it has to be begun anew, or is another's to do
local function do_endpoints_load(keys, args)
  local name, instance, ttl_ms = unpack(args, 1, 3)
  local prefix, now = keys[1], now_us()
  if not is_loading(prefix, name, instance) then return 0 end
  local expiry = ms_down(now) + tonumber(ttl_ms)
  if #args >= 4 then note_loss(prefix, 0, ttl_ms) end -- there were data that had these endpoints
  for i = 4, #args, 5 do
    local device_id, url, since, mark, turn = unpack(args, i, i + 4)
    local pubkey, encrypted = stand_in(device_id), mark ~= ''
    local key = token_key(prefix, pubkey)
    if since == '' then since = math.floor(now / 1000000) end
    -- Its phone may have registered anew already; its other trades have not.
    if redis.call('EXISTS', endpoint_key(prefix, device_id)) == 0 then
      use_endpoint(prefix, device_id, url, since, encrypted, pubkey, expiry)
      settle_endpoint(prefix, device_id, now)
    end
    if redis.call('EXISTS', key) == 0 then
      redis.call('HSET', key, 'platform', 'android', 'device_id', device_id)
      if encrypted then redis.call('HSET', key, 'p256dh', KEYS_LOST) end
      redis.call('PEXPIREAT', key, expiry)
    end
    redis.call('ZADD', endpoints_to_wake_key(prefix), turn, device_id)
  end
  return 1
end

-- endpoints_loaded(prefix; name, instance): all that the file holds is here, and it may be written; 0
-- as above
local function do_endpoints_loaded(keys, args)
  local name, instance = unpack(args)
  if not is_loading(keys[1], name, instance) then return 0 end
  redis.call('SET', endpoints_loaded_key(keys[1]), now_us())
  redis.call('DEL', endpoints_loading_key(keys[1]))
  return 1
end

-- endpoints_wake(prefix; name, instance, most wakes): queues the wakes of the next second for those that
-- were brought back, evenly spread; how many of these have had their turn
local function do_endpoints_wake(keys, args)
  local name, instance, most_wakes = unpack(args)
  local prefix, now, taken = keys[1], now_us(), {}
  if not is_writer(prefix, name, instance) then return 0 end
  local waiting = redis.call('ZRANGE', endpoints_to_wake_key(prefix), 0, ENDPOINT_WAKES_PER_S - 1)
  local at = tonumber(redis.call('GET', endpoints_wake_at_key(prefix)) or now)
  local room = tonumber(most_wakes) - redis.call('XLEN', wakes_key(prefix))
  at = math.min(math.max(at, now), now + 1000000)
  for _, device_id in ipairs(waiting) do
    if room <= 0 or at >= now + 1000000 then break end
    local pubkey = stand_in(device_id)
    if redis.call('EXISTS', token_key(prefix, pubkey)) == 1 then
      queue_wake(prefix, pubkey, 'relay', at)
      at, room = at + 1000000 / ENDPOINT_WAKES_PER_S, room - 1
    end
    taken[#taken + 1] = device_id
  end
  if #taken > 0 then
    redis.call('SET', endpoints_wake_at_key(prefix), at, 'PX', 2000)
    redis.call('ZREM', endpoints_to_wake_key(prefix), unpack(taken))
  end
  return #taken
end

-- Calls for each of some endpoints, its record beside it, telling whether a registration still uses
-- it; the cursor of the next.
local function scan_endpoints(prefix, cursor, callback)
  local page = redis.call('HSCAN', endpoints_key(prefix), cursor, 'COUNT', ENDPOINT_SCAN)
  for i = 1, #page[2], 2 do
    local device_id = page[2][i]
    callback(device_id, page[2][i + 1],
             redis.call('EXISTS', endpoint_key(prefix, device_id)) == 1)
  end
  return page[1]
end

-- endpoints_read(prefix; cursor): the next cursor, then device id and record of each. One may come
-- twice.
local function do_endpoints_read(keys, args)
  local cursor, answer = args[1], { '' }
  answer[1] = scan_endpoints(keys[1], cursor, function(device_id, record, is_used)
    if not is_used then return end
    answer[#answer + 1] = device_id
    answer[#answer + 1] = record
  end)
  return answer
end

-- endpoints_sweep(prefix; cursor): drops some of those whose last registration has expired; the next
-- cursor
local function do_endpoints_sweep(keys, args)
  local cursor = args[1]
  return scan_endpoints(keys[1], cursor, function(device_id, _, is_used)
    if not is_used then drop_endpoint(keys[1], device_id) end
  end)
end

register('spend', do_spend)
register('notify', do_notify)
register('registers', do_registers)
register('unregister', do_unregister, { 'allow-oom' })
register('count', do_count, { 'no-writes' })
register('events', do_events)
register('lookup', do_lookup, { 'no-writes' })
register('pauses', do_pauses, { 'allow-oom' })
register('take', do_take, { 'allow-oom' })
register('drop', do_drop, { 'allow-oom' })
register('waiting', do_waiting, { 'no-writes' })
register('done', do_done, { 'allow-oom' })
register('forget', do_forget, { 'allow-oom' })
register('heartbeat', do_heartbeat, { 'allow-oom' })
register('leave', do_leave, { 'allow-oom' })
register('adopt', do_adopt, { 'allow-oom' })
register('epoch', do_epoch, { 'allow-oom' })
register('cursors', do_cursors, { 'allow-oom' })
register('state', do_state, { 'no-writes' })
register('metrics', do_metrics, { 'no-writes' })
register('address_key', do_address_key, { 'allow-oom' })
register('add', do_add, { 'allow-oom' })
register('trim', do_trim, { 'allow-oom' })
register('endpoints_state', do_endpoints_state, { 'allow-oom' })
register('endpoints_begin', do_endpoints_begin)
register('endpoints_load', do_endpoints_load)
register('endpoints_loaded', do_endpoints_loaded, { 'allow-oom' })
register('endpoints_wake', do_endpoints_wake)
register('endpoints_read', do_endpoints_read, { 'no-writes' })
register('endpoints_sweep', do_endpoints_sweep, { 'allow-oom' })

-- Watching. In a block, for a chunk has at most 200 local names.
do
  local WATCHED_MAX = 32 -- listeners that are shown one by one

  -- The fields of the wake that has been in the inbox for longest. Not by XRANGE: users.acl.example
  -- lets nobody see all of it.
  local function first_in_inbox(prefix)
    local wakes = wakes_key(prefix)
    local about = redis.call('EXISTS', wakes) == 1 and redis.call('XINFO', 'STREAM', wakes) or {}
    for i = 1, #about, 2 do
      if about[i] == 'first-entry' and about[i + 1] then return about[i + 1][2] end
    end
    return {}
  end

  -- For how many ms the wake that is due first has been due, 0 where none is. A wake that waits in a
  -- listener's set counts by the newest of its pubkey and kind.
  local function oldest_wait(prefix, now_ms)
    local oldest = now_ms
    local function look_at(due)
      if due and due < oldest then oldest = due end
    end
    for _, name in ipairs(redis.call('ZRANGE', waiters_key(prefix), 0, -1)) do
      local first = redis.call('ZRANGE', waiting_key(prefix, name), 0, 0, 'WITHSCORES')
      look_at(tonumber(first[2]))
    end
    local wake = first_in_inbox(prefix)
    for i = 1, #wake, 2 do
      if wake[i] == 'not_before' then look_at(tonumber(wake[i + 1])) end
    end
    return now_ms - oldest
  end

  local function count_traced(prefix, now_ms)
    return #redis.call('ZRANGE', traced_key(prefix), '(' .. text_of(now_ms), '+inf', 'BYSCORE')
  end

  -- watch(prefix): what metrics show beside the state: names and numbers, to which later versions may
  -- add; then for each listener with a fresh heartbeat, up to WATCHED_MAX, { name, version, report,
  -- '' where it gives none (listener_report.h) }
  local function do_watch(keys)
    local prefix, now_ms = keys[1], ms_down(now_us())
    local answer = { { 'oldest_ms', oldest_wait(prefix, now_ms),
                       'traced', count_traced(prefix, now_ms) } }
    for _, name in ipairs(redis.call('ZRANGE', listeners_key(prefix), 0, -1)) do
      local held = redis.call('HMGET', listener_key(prefix, name), 'instance', 'version', 'report')
      if held[1] and #answer <= WATCHED_MAX then
        answer[#answer + 1] = { name, held[2] or '', held[3] or '' }
      end
    end
    return answer
  end

  register('watch', do_watch, { 'no-writes' })
end
