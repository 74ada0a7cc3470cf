"""The scripts that Redis runs: each is one atomic step.

Times are milliseconds by Redis' own clock (TIME), so that the clocks of senders and workers do not matter. A
moment is given as text: "" none, "1700000000000" absolute, "+500" from now on.

A stream entry has the fields `id` (the task's) and `data` (the message), and where they apply `due` and
`expires` (ms), `step` (of a workflow: its id, the node's number, the ids of root and parent) and `deaths`
(workers that died while they ran it).
"""

from .lua_workflows import LIBRARY

COMMON = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ms(number)
    return string.format('%.0f', number)
end

local function moment(text)
    if text == '' then return nil end
    if string.sub(text, 1, 1) == '+' then return now + tonumber(string.sub(text, 2)) end
    return tonumber(text)
end

local function fields_of(stream, id)
    local entry = redis.call('XRANGE', stream, id, id)[1]
    return entry and entry[2]
end

local function field(fields, name)
    for n = 1, #(fields or {}), 2 do
        if fields[n] == name then return fields[n + 1] end
    end
end

local function remove(stream, group, id)
    local removed = redis.call('XACK', stream, group, id)
    redis.call('XDEL', stream, id)
    return removed
end

local function pending(stream, group, count, worker)
    local found = redis.pcall('XPENDING', stream, group, '-', '+', count, worker)
    return found.err and {} or found
end

local function enqueue(stream, delayed, payloads, id, data, due, expires, token, step)
    local fields = {'id', id, 'data', data}
    if step and step ~= '' then
        table.insert(fields, 'step')
        table.insert(fields, step)
    end
    if expires then
        table.insert(fields, 'expires')
        table.insert(fields, ms(expires))
    end
    if due then
        table.insert(fields, 'due')
        table.insert(fields, ms(due))
    end
    if due and due > now then
        redis.call('HSET', payloads, token, cmsgpack.pack(fields))
        redis.call('ZADD', delayed, ms(due), token)
    else
        redis.call('XADD', stream, '*', unpack(fields))
    end
end

local function bury(dead, stream, group, id, fields, queue, reason)
    if remove(stream, group, id) == 0 then return false end
    local letter = {'_queue', queue, '_reason', reason, '_at', ms(now)}
    for _, text in ipairs(fields or {}) do table.insert(letter, text) end
    redis.call('XADD', dead, '*', unpack(letter))
    return true
end
"""

SEND = (
    COMMON
    + """
-- KEYS: stream, delayed, payloads. ARGV: task id, message, due, expires, token, step.
enqueue(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], moment(ARGV[3]), moment(ARGV[4]), ARGV[5], ARGV[6])
"""
)
"""Send a message, at once or for later."""

COMPLETE = (
    COMMON
    + """
-- KEYS: for each task: stream, result; three more for each message to send.
-- ARGV: group; for each task: entry, result or "", its life in seconds, number of messages to send; six more
--       for each of these, as for SEND.
-- Answers for each task: 0, and nothing was done, if the entry is no longer ours: somebody else runs it.
local answers, key, arg = {}, 1, 2
while key <= #KEYS do
    local result, life, sends = ARGV[arg + 1], ARGV[arg + 2], tonumber(ARGV[arg + 3])
    local removed = remove(KEYS[key], ARGV[1], ARGV[arg])
    if removed == 1 and result ~= '' then redis.call('SET', KEYS[key + 1], result, 'EX', life) end
    key, arg = key + 2, arg + 4
    for _ = 1, sends do
        if removed == 1 then
            enqueue(KEYS[key], KEYS[key + 1], KEYS[key + 2], ARGV[arg], ARGV[arg + 1],
                    moment(ARGV[arg + 2]), moment(ARGV[arg + 3]), ARGV[arg + 4], ARGV[arg + 5])
        end
        key, arg = key + 3, arg + 6
    end
    table.insert(answers, removed)
end
return answers
"""
)
"""Store results of tasks, acknowledge and delete their entries, and send what follows from them."""

BURY = (
    COMMON
    + LIBRARY
    + """
-- KEYS: stream, dead letters.
-- ARGV: group, entry, queue, reason, task's id or "", result, prefix, life of results and of workflows (s).
prefix, result_ttl, workflow_ttl = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local fields = fields_of(KEYS[1], ARGV[2])
if not bury(KEYS[2], KEYS[1], ARGV[1], ARGV[2], fields, ARGV[3], ARGV[4]) or ARGV[5] == '' then return end
store(ARGV[5], ARGV[6])
abandon(field(fields, 'step'), ARGV[5], ARGV[6])
"""
)
"""Move an entry to the dead letters, tell its caller, and end what was to follow."""

HAND_BACK = (
    COMMON
    + """
-- KEYS: streams. ARGV: group, worker, entries that the worker keeps ("stream id").
local kept, count = {}, 0
for n = 3, #ARGV do kept[ARGV[n]] = true end
for _, stream in ipairs(KEYS) do
    for _, entry in ipairs(pending(stream, ARGV[1], 10000, ARGV[2])) do
        local id = entry[1]
        if not kept[stream .. ' ' .. id] then
            local fields = fields_of(stream, id)
            if fields then redis.call('XADD', stream, '*', unpack(fields)) end
            remove(stream, ARGV[1], id)
            count = count + 1
        end
    end
end
return count
"""
)
"""Give entries that a worker has read but will not run to whoever reads next. Answers how many."""

LEAVE = """
-- KEYS: the sorted sets of workers. ARGV: worker. Its lease ends now; what it still holds goes to others.
for _, workers in ipairs(KEYS) do redis.call('ZADD', workers, 0, ARGV[1]) end
"""
"""End a worker's lease."""

TICK = (
    COMMON
    + LIBRARY
    + """
-- KEYS: stream, suspects, delayed, payloads, workers, watch, dead letters, revoked.
-- ARGV: group, worker, lease (ms), grace (ms), queue, prefix, result of a task that was lost, life of
--       results and of workflows (s), deaths that make a suspect, deaths that make a dead letter, most
--       entries to move at once.
local stream, suspects, delayed, payloads, workers, watch, dead, revoked = unpack(KEYS)
prefix, result_ttl, workflow_ttl = ARGV[6], tonumber(ARGV[8]), tonumber(ARGV[9])
local group, me, lease, grace = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local batch = tonumber(ARGV[12])

local held = redis.call('ZSCORE', workers, me)
if not held or tonumber(held) < now + lease * 2 / 3 then
    redis.call('ZADD', workers, ms(now + lease), me)
end

-- Nobody is declared dead just after a silence of all: Redis was away, and the others need time to come back.
local last = tonumber(redis.call('HGET', watch, 'last') or '0')
if math.abs(now - last) > grace then redis.call('HSET', watch, 'quiet', ms(now + grace)) end
-- If Redis' clock was set back, no lease may end later than one that begins now.
if now < last then
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, ms(now + lease), '+inf')) do
        redis.call('ZADD', workers, ms(now + lease), worker)
    end
end
redis.call('HSET', watch, 'last', ms(now))

local moved = 0
for _, token in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', ms(now), 'LIMIT', 0, batch)) do
    local packed = redis.call('HGET', payloads, token)
    if packed then redis.call('XADD', stream, '*', unpack(cmsgpack.unpack(packed))) end
    redis.call('HDEL', payloads, token)
    redis.call('ZREM', delayed, token)
    moved = moved + 1
end

local function inherit(from, entry)
    local id = entry[1]
    local fields = fields_of(from, id)
    if not fields then return bury(dead, from, group, id, nil, ARGV[5], 'entry ' .. id .. ' was trimmed') end
    local deaths = tonumber(field(fields, 'deaths') or '0') + 1
    local others = {'deaths', deaths}
    for n = 1, #fields, 2 do
        if fields[n] ~= 'deaths' then
            table.insert(others, fields[n])
            table.insert(others, fields[n + 1])
        end
    end
    if deaths >= tonumber(ARGV[11]) then
        bury(dead, from, group, id, others, ARGV[5], deaths .. ' workers died while they ran it')
        local task = field(fields, 'id')
        if task then
            store(task, ARGV[7])
            abandon(field(fields, 'step'), task, ARGV[7])
        end
        return
    end
    redis.call('XADD', deaths >= tonumber(ARGV[10]) and suspects or stream, '*', unpack(others))
    remove(from, group, id)
end

if now >= tonumber(redis.call('HGET', watch, 'quiet') or '0') then
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', ms(now - grace), 'LIMIT', 0, 1)) do
        for _, from in ipairs({stream, suspects}) do
            for _, entry in ipairs(pending(from, group, batch - moved, worker)) do
                inherit(from, entry)
                moved = moved + 1
            end
        end
        if moved < batch then
            redis.pcall('XGROUP', 'DELCONSUMER', stream, group, worker)
            redis.pcall('XGROUP', 'DELCONSUMER', suspects, group, worker)
            redis.call('ZREM', workers, worker)
        end
    end
end

redis.call('ZREMRANGEBYSCORE', revoked, '-inf', ms(now))
local due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
return {ms(now), due and ms(tonumber(due)) or '', redis.call('XLEN', suspects), held and 1 or 0,
        redis.call('ZRANGE', revoked, 0, -1)}
"""
)
"""One heartbeat of one worker on one queue: renew the lease, release what is due, inherit from the dead.

Answers: now, the next due time or "", number of suspects, whether the worker still had its lease, the ids of
revoked tasks.
"""

REPLAY = (
    COMMON
    + """
-- KEYS: dead letters, stream. ARGV: entry. Answers 1 if the entry was there and is in its queue again.
local fields = fields_of(KEYS[1], ARGV[1])
if not fields then return 0 end
local kept = {}
for n = 1, #fields, 2 do
    if fields[n] ~= 'deaths' and string.sub(fields[n], 1, 1) ~= '_' then
        table.insert(kept, fields[n])
        table.insert(kept, fields[n + 1])
    end
end
if #kept == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(kept))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
"""
)
"""Send a dead letter again."""
