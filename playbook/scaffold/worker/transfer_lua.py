"""The scripts that move work between Celery's keys and this runtime's, one unit at a time.

Invariant: a unit (a message, or all messages of a workflow) is on one side as a whole. Where both sides are
one Redis, one script takes it and puts it. Where they are two, it is put first, with a mark by which a
second attempt knows, and taken then: a transfer that is killed between the two is completed by the next.
"""

from .lua import COMMON
from .lua_workflows import LIBRARY

_TAKE = """
-- Sources: key, value, index. A list and a message in it; or a hash, a field of it and its sorted set.
local function is_there(key, value, index)
    if index ~= '' then return redis.call('HEXISTS', key, value) == 1 end
    return redis.call('LPOS', key, value, 'RANK', -1)
end

local function sources_from(first)
    local found = {}
    for n = first, #ARGV, 3 do table.insert(found, {ARGV[n], ARGV[n + 1], ARGV[n + 2]}) end
    return found
end

local function all_there(sources)
    for _, source in ipairs(sources) do
        if not is_there(unpack(source)) then return false end
    end
    return true
end

local function remove_all(sources)
    for _, source in ipairs(sources) do
        local key, value, index = unpack(source)
        if index == '' then
            redis.call('LREM', key, -1, value)
        else
            redis.call('HDEL', key, value)
            redis.call('ZREM', index, value)
        end
    end
end
"""

TAKE = (
    _TAKE
    + """
-- ARGV: sources. Answers 1 if all were there, and removes them.
local sources = sources_from(1)
if not all_there(sources) then return 0 end
remove_all(sources)
return 1
"""
)
"""Take a unit from Celery."""

PUT = (
    COMMON
    + LIBRARY
    + _TAKE
    + """
-- KEYS: mark, transferred. ARGV: prefix, life of results and of workflows (s), unit (JSON), sources.
-- Answers 1 if it was put, 2 if the mark says that it has been, 0 if a source is gone.
prefix, result_ttl, workflow_ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local unit, sources = cjson.decode(ARGV[4]), sources_from(5)
if redis.call('EXISTS', KEYS[1]) == 1 then return 2 end
if not all_there(sources) then return 0 end
local plan = unit.plan
local function given(value) return value ~= cjson.null and value or nil end
if unit.alone then
    local message = unit.starts[1]
    local queue, due, expires, before = unpack(plan.templates[1])
    local id = plan.nodes[1][ID]
    local step = '- - ' .. (given(message[2]) or id) .. ' ' .. (given(message[3]) or '-')
    enqueue(prefix .. ':queue:' .. queue, prefix .. ':delayed:' .. queue, prefix .. ':payloads:' .. queue,
            id, before, moment(due), moment(expires), id, step)
else
    local flow = workflow_of(unit.id)
    open(flow)
    load_plan(flow, plan, nil)
    redis.call('HSET', flow.key, 'final', plan.final)
    for _, k in ipairs(unit.joins) do
        local join = node_of(flow, k)
        mark(flow, k, join, 's')
        flow.templates[k] = nil
        redis.call('HSET', flow.key, 'l' .. k, join[SIZE])
    end
    for _, message in ipairs(unit.starts) do
        start(flow, message[1], '', {root = given(message[2]), parent = given(message[3])})
    end
    for _, done in ipairs(unit.done) do
        local k, i, task, how, text = unpack(done)
        local from = {root = given(unit.root), parent = task}
        if how == 'ok' then
            part(flow, k, i, 'v' .. text, from)
        else
            skip(flow, {{PART, k, i}}, {result = text, id = task, called = {}}, from)
        end
    end
    keep_templates(flow)
    close(flow)
end
for _, id in ipairs(unit.ids) do redis.call('SADD', KEYS[2], id) end
redis.call('EXPIRE', KEYS[2], workflow_ttl)
if #sources == 0 then redis.call('SET', KEYS[1], 1, 'EX', workflow_ttl) end
remove_all(sources)
return 1
"""
)
"""Put a unit into TaskIQ, and take it from Celery if that is the same Redis."""

READ_DELAYED = """
-- KEYS: delayed, payloads. Answers token and fields of each message that is not due yet, the earliest first.
local found = {}
for _, token in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local packed = redis.call('HGET', KEYS[2], token)
    if packed then table.insert(found, {token, cmsgpack.unpack(packed)}) end
end
return found
"""
"""Look at what is not due yet."""

READ_WORKFLOW = (
    COMMON
    + LIBRARY
    + """
-- KEYS: the workflow. Answers its nodes, with state and how to send them, and its error callbacks (JSON).
local flow, found = {key = KEYS[1], nodes = {}}, {nodes = {}, errbacks = {}}
local function at(field) return redis.call('HGET', flow.key, field) end
local function unpacked(field)
    local packed = at(field)
    return packed and cmsgpack.unpack(packed) or cjson.null
end
for k = 0, tonumber(at('nodes') or '0') - 1 do
    local node = node_of(flow, k)
    local told = {id = node[ID], name = node[NAME], next = node[NEXT], errbacks = node[ERRBACKS],
                  main = node[MAIN], size = node[SIZE], state = node.state, template = unpacked('t' .. k)}
    if node[SIZE] and node.state == 's' then
        told.order, told.parts = order_of(flow, k, node[SIZE]), {}
        for _, i in ipairs(told.order) do
            local slot = at('v' .. k .. '.' .. i)
            local how = slot and string.sub(slot, 1, 1)
            if how == 'v' then table.insert(told.parts, {i, 'v', string.sub(slot, 2)}) end
            if how == 'e' then table.insert(told.parts, {i, 'e', cmsgpack.unpack(string.sub(slot, 2))}) end
        end
    end
    table.insert(found.nodes, told)
end
for k = 0, tonumber(at('errbacks') or '0') - 1 do table.insert(found.errbacks, unpacked('e' .. k)) end
return cjson.encode(found)
"""
)
"""Look at a workflow as a whole."""

_SOURCES = """
-- Sources: a stream, an entry and the worker that holds it or ""; or a sorted set, a token and their hash.
local group = ARGV[1]
local function is_there(kind, key, id, other)
    if kind == 'delayed' then return redis.call('HEXISTS', other, id) == 1 end
    if #redis.call('XRANGE', key, id, id) == 0 then return false end
    local found = redis.pcall('XPENDING', key, group, id, id, 1)
    local holder = not found.err and found[1] and found[1][2] or ''
    return holder == other
end

local sources, at = {}, 3
for _ = 1, tonumber(ARGV[2]) do
    table.insert(sources, {unpack(ARGV, at, at + 3)})
    at = at + 4
end
for _, source in ipairs(sources) do
    if not is_there(unpack(source)) then return 0 end
end
"""

RETURN_TAKE = (
    _SOURCES
    + """
-- KEYS: workflow, transferred, returned. ARGV: group, number of sources, sources; number of messages,
-- list and message of each; ids of the tasks. Answers 1 if all was there.
for _, source in ipairs(sources) do
    local kind, key, id, other = unpack(source)
    if kind == 'delayed' then
        redis.call('ZREM', key, id)
        redis.call('HDEL', other, id)
    else
        redis.pcall('XACK', key, group, id)
        redis.call('XDEL', key, id)
    end
end
redis.call('DEL', KEYS[1])
local last = at + 2 * tonumber(ARGV[at])
for n = at + 1, last, 2 do redis.call('LPUSH', ARGV[n], ARGV[n + 1]) end
for n = last + 1, #ARGV do
    redis.call('SREM', KEYS[2], ARGV[n])
    redis.call('SADD', KEYS[3], ARGV[n])
end
redis.call('EXPIRE', KEYS[3], 604800)
return 1
"""
)
"""Take a unit from TaskIQ, and put it into Celery if that is the same Redis."""

RETURN_PUT = """
-- KEYS: mark. ARGV: list and message of each. Does nothing if the mark says that it has been done.
if redis.call('SET', KEYS[1], 1, 'NX', 'EX', 604800) then
    for n = 1, #ARGV, 2 do redis.call('LPUSH', ARGV[n], ARGV[n + 1]) end
end
"""
"""Put a unit into a Celery that has a Redis of its own."""
