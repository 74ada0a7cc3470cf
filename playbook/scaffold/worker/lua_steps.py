"""The scripts that start, continue and end workflows; see `lua_workflows` for what they keep in Redis."""

from .lua import COMMON
from .lua_workflows import LIBRARY

_SETTINGS = """
prefix, result_ttl, workflow_ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
"""

START = (
    COMMON
    + LIBRARY
    + _SETTINGS
    + """
-- KEYS: the workflow. ARGV: prefix, life of results and of workflows (s), id, plan, root or "", parent or "".
-- Answers 0 if it was there already: the sender asks again after a broken connection.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local function given(text) return text ~= '' and text or nil end
begin(ARGV[4], cjson.decode(ARGV[5]), {root = given(ARGV[6]), parent = given(ARGV[7])})
return 1
"""
)
"""Start a workflow."""

FINISH = (
    COMMON
    + LIBRARY
    + _SETTINGS
    + """
-- KEYS: stream, dead letters.
-- ARGV: prefix, life of results and of workflows (s), group, entry, queue, task's id, step or "", how it
--       ended (ok, error, silent, revoked, replaced), result, value, request, plan or "", plans that join.
-- Answers 0 if the entry is no longer ours, 2 if the workflow is gone, 3 if the step had ended before.
local stream, dead = KEYS[1], KEYS[2]
local group, entry, queue, task, step, how, result, value, request = unpack(ARGV, 4, 12)
local id, k, root = step_of(step)
local flow = id and id ~= '-' and workflow_of(id)
local node
if flow then
    k = tonumber(k)
    node = node_of(flow, k)
    if not node then
        local fields = fields_of(stream, entry)
        if not bury(dead, stream, group, entry, fields, queue, 'its workflow has expired') then return 0 end
        if result ~= '' then store(task, result) end
        return 2
    end
end
if remove(stream, group, entry) == 0 then return 0 end
if node and node.state ~= 's' then
    -- A dead letter that was sent again: the workflow has failed without it, but it has a result now.
    if node.state == 'f' and how == 'ok' then store(task, result) end
    return 3
end

local from = {root = root or task, parent = task}
if how == 'replaced' and not node then
    begin(task, cjson.decode(ARGV[13]), from)
    return 1
end
if how ~= 'replaced' and result ~= '' then store(task, result) end
if not node then return 1 end

open(flow)
flow.active = flow.active - 1
if how == 'ok' or how == 'replaced' then
    local joined = {}
    for _, edge in ipairs(node[NEXT]) do
        if edge[1] == PART then
            for n = 14, #ARGV do
                local i = widen(flow, edge[2], edge[3])
                local heir = {next = {{PART, edge[2], i}}, errbacks = {}, main = node[MAIN]}
                table.insert(joined, load_plan(flow, cjson.decode(ARGV[n]), heir))
            end
        end
    end
    for _, entries in ipairs(joined) do follow(flow, entries, '', from) end
    mark(flow, k, node, 'd')
    if how == 'ok' then
        follow(flow, node[NEXT], value, from)
    else
        local heir = {next = node[NEXT], errbacks = node[ERRBACKS], main = node[MAIN]}
        follow(flow, load_plan(flow, cjson.decode(ARGV[13]), heir), '', from)
    end
    keep_templates(flow)
else
    local err = {result = result, id = task, called = {}, silent = how == 'silent'}
    fail(flow, k, node, err, how == 'error' and request, from)
end
close(flow)
return 1
"""
)
"""End a task of a workflow, or one that is replaced, and start what follows: the one step in which all of it
happens."""

REVOKE = (
    COMMON
    + LIBRARY
    + _SETTINGS
    + """
-- KEYS: revoked. ARGV: prefix, life of results and of workflows (s), id of a task or workflow, result.
-- Answers how many tasks will not run that else would.
local id, result, count = ARGV[4], ARGV[5], 0
local flow = workflow_of(id)
local function revoke(task)
    redis.call('ZADD', KEYS[1], ms(now + workflow_ttl * 1000), task)
    redis.call('SET', prefix .. ':result:' .. task, result, 'NX', 'EX', result_ttl)
    count = count + 1
end
local nodes = tonumber(redis.call('HGET', flow.key, 'nodes') or '-1')
if nodes < 0 then
    if redis.call('EXISTS', prefix .. ':result:' .. id) == 0 then revoke(id) end
    return count
end
for k = 0, nodes - 1 do
    local node = node_of(flow, k)
    if node.state == 'w' or node.state == 's' then
        mark(flow, k, node, 'x')
        redis.call('HDEL', flow.key, 't' .. k)
        if not node[SIZE] then
            revoke(node[ID])
        elseif node[NAME] ~= '' then
            redis.call('SET', prefix .. ':result:' .. node[ID], result, 'NX', 'EX', result_ttl)
        end
    end
end
redis.call('HSET', flow.key, 'active', 0)
redis.call('EXPIRE', flow.key, result_ttl)
return count
"""
)
"""Revoke a task, or all tasks of a workflow that have not ended; what runs already goes on to its end."""

STATUS = (
    COMMON
    + LIBRARY
    + """
-- KEYS: the workflow. Answers the nodes as JSON: id, name, state, ids of what follows.
local flow, found = {key = KEYS[1], nodes = {}}, {}
for k = 0, tonumber(redis.call('HGET', flow.key, 'nodes') or '0') - 1 do
    local node, following = node_of(flow, k), {}
    for _, edge in ipairs(node[NEXT]) do table.insert(following, node_of(flow, edge[2])[ID]) end
    table.insert(found, cjson.encode({node[ID], node[NAME], node.state, following}))
end
return found
"""
)
"""Look at a workflow."""
