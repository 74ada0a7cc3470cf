"""What Redis does for workflows: the functions that the scripts share.

A workflow is one hash, `workflow:<id>`. Its fields:

    n<k>       node k: one letter for its state, then the node (MessagePack; see `plans.Node`)
    t<k>       how to send task k, until it is sent; of a join, how its members start
    e<k>       how to send error callback k
    l<k>       how many parts join k still waits for
    z<k>       of the members that join k got beside those of its plan: by which part each was added
    v<k>.<i>   part i of join k, until all are there: "v" and JSON, or "e" and an error
    nodes, errbacks, active, final
               how many nodes and error callbacks there are, how many tasks are on their way, the id of the
               result

States: w waits, s sent (a join: waits for parts), d done, f failed, x never to run.

Invariant: a node leaves the state "w" once, and "s" once; what follows from that happens in the same call.
"""

LIBRARY = """
local prefix, result_ttl, workflow_ttl
local INHERITED, START, JOIN, PART, ERRBACK = 0, 1, 2, 3, 4
local ID, NAME, NEXT, ERRBACKS, MAIN, SIZE = 1, 2, 3, 4, 5, 6

local enter, part, skip

local function workflow_of(id)
    return {id = id, key = prefix .. ':workflow:' .. id, nodes = {}, templates = {}, errbacks = {}}
end

local function node_of(flow, k)
    local node = flow.nodes[k]
    if node then return node end
    local packed = redis.call('HGET', flow.key, 'n' .. k)
    if not packed then return nil end
    node = cmsgpack.unpack(string.sub(packed, 2))
    node.state, node.packed = string.sub(packed, 1, 1), string.sub(packed, 2)
    flow.nodes[k] = node
    return node
end

local function mark(flow, k, node, state)
    node.state = state
    redis.call('HSET', flow.key, 'n' .. k, state .. node.packed)
end

local function store(id, result)
    redis.call('SET', prefix .. ':result:' .. id, result, 'EX', result_ttl)
end

-- The error of a task as the result of another that cannot run because of it.
local function dependent(err)
    if not err.dependency then return err.result end
    return '{"dependency": ' .. cjson.encode(err.dependency) .. ', ' .. string.sub(err.result, 2)
end

local function uuid_of(text)
    local hash = redis.sha1hex(text)
    return table.concat({string.sub(hash, 1, 8), string.sub(hash, 9, 12), '5' .. string.sub(hash, 14, 16),
                         '8' .. string.sub(hash, 18, 20), string.sub(hash, 21, 32)}, '-')
end

local function put(flow, queue, id, data, due, expires, step, from)
    due = moment(due)
    if due then flow.keep = math.max(flow.keep, math.ceil((due - now) / 1000) + workflow_ttl) end
    step = step .. ' ' .. (from.root or id) .. ' ' .. (from.parent or '-')
    enqueue(prefix .. ':queue:' .. queue, prefix .. ':delayed:' .. queue, prefix .. ':payloads:' .. queue,
            id, data, due, moment(expires), id, step)
end

-- What is kept of a node until it starts; asked for once.
local function taken(flow, k)
    local template = flow.templates[k]
    if template then
        flow.templates[k] = nil
        return template
    end
    template = cmsgpack.unpack(redis.call('HGET', flow.key, 't' .. k))
    redis.call('HDEL', flow.key, 't' .. k)
    return template
end

local function start(flow, k, value, from)
    local node = node_of(flow, k)
    if node.state ~= 'w' then return end
    local queue, due, expires, before, after = unpack(taken(flow, k))
    local data = after == '' and before or before .. value .. after
    put(flow, queue, node[ID], data, due, expires, flow.id .. ' ' .. k, from)
    mark(flow, k, node, 's')
    flow.active = flow.active + 1
end

local function follow(flow, edges, value, from)
    for _, edge in ipairs(edges) do
        if edge[1] == START then start(flow, edge[2], value, from)
        elseif edge[1] == JOIN then enter(flow, edge[2], value, from)
        elseif edge[1] == PART then part(flow, edge[2], edge[3], 'v' .. value, from)
        end
    end
end

-- What an error callback is told about a task that did not run to its end.
local function request_of(node)
    return '{"id": ' .. cjson.encode(node[ID]) .. ', "task": ' .. cjson.encode(node[NAME]) .. '}'
end

local function call_errbacks(flow, errbacks, err, id, request, from)
    if err.silent then return end
    local dependency = cjson.encode(err.dependency or cjson.null)
    local about = table.concat({'{"request": ', request, ', "dependency": ', dependency, ', "result": ',
                                err.result, '}'})
    local after = {root = from.root, parent = id}
    for _, errback in ipairs(errbacks) do
        if errback[1] ~= ERRBACK then
            follow(flow, {errback}, about, after)
        elseif not err.called[tostring(errback[2])] then
            err.called[tostring(errback[2])] = true
            local template = cmsgpack.unpack(redis.call('HGET', flow.key, 'e' .. errback[2]))
            local queue, due, expires, before, middle, rest = unpack(template)
            local own = uuid_of(flow.id .. ' ' .. id .. ' ' .. errback[2])
            local data = before .. own .. middle .. (rest == '' and '' or about .. rest)
            put(flow, queue, own, data, due, expires, '- -', after)
        end
    end
end

local function copy_of(set)
    local copy = {}
    for name in pairs(set) do copy[name] = true end
    return copy
end

-- A task that did not run fails because a member of the header before it did.
local function fail_body(flow, k, errbacks, err, from)
    local node = node_of(flow, k)
    if node.state ~= 'w' then return end
    mark(flow, k, node, 'f')
    redis.call('HDEL', flow.key, 't' .. k)
    store(node[ID], dependent(err))
    call_errbacks(flow, errbacks, err, node[ID], request_of(node), from)
    skip(flow, node[NEXT], err, from)
end

-- A group that was to run after a header fails: each of its members does, with the original error.
local function fail_members(flow, k, err, from)
    local join = node_of(flow, k)
    if join.state ~= 'w' then return end
    mark(flow, k, join, 'x')
    for _, entry in ipairs(taken(flow, k)) do
        local original = {result = err.result, called = copy_of(err.called), silent = err.silent}
        local member = entry[1] == START and join[NAME] ~= '' and node_of(flow, entry[2])
        if member then
            call_errbacks(flow, member[ERRBACKS], original, member[ID], request_of(member), from)
        end
        skip(flow, {entry}, original, from)
    end
    if join[NAME] ~= '' then store(join[ID], err.result) end
    skip(flow, join[NEXT], err, from)
end

local function added_to(flow, k)
    local packed = redis.call('HGET', flow.key, 'z' .. k)
    return packed and cmsgpack.unpack(packed) or {}
end

-- One more member for a join, added by part i; answers its place.
local function widen(flow, k, i)
    local added = added_to(flow, k)
    table.insert(added, i)
    redis.call('HSET', flow.key, 'z' .. k, cmsgpack.pack(added))
    redis.call('HINCRBY', flow.key, 'l' .. k, 1)
    return node_of(flow, k)[SIZE] + #added - 1
end

-- The places of a join's parts in the order of the list: what a part has added comes after it.
local function order_of(flow, k, size)
    local added, order = added_to(flow, k), {}
    local function visit(i)
        table.insert(order, i)
        for n, by in ipairs(added) do
            if by == i then visit(size + n - 1) end
        end
    end
    for i = 0, size - 1 do visit(i) end
    return order
end

local function parts_of(flow, k, size)
    local values, failed = {}, nil
    local order = order_of(flow, k, size)
    for first = 1, #order, 1000 do
        local fields = {}
        for n = first, math.min(first + 999, #order) do table.insert(fields, 'v' .. k .. '.' .. order[n]) end
        for _, slot in ipairs(redis.call('HMGET', flow.key, unpack(fields))) do
            if string.sub(slot, 1, 1) == 'e' then
                -- The first error counts; one that says only that there is no result, if there is no other.
                local found = cmsgpack.unpack(string.sub(slot, 2))
                if not failed or (failed[4] and not found[4]) then failed = found end
            else
                table.insert(values, string.sub(slot, 2))
            end
        end
        redis.call('HDEL', flow.key, unpack(fields))
    end
    return values, failed
end

local function finish(flow, k, join, from)
    local values, failed = parts_of(flow, k, join[SIZE])
    redis.call('HDEL', flow.key, 'l' .. k, 'z' .. k)
    if not failed then
        local value = '[' .. table.concat(values, ', ') .. ']'
        mark(flow, k, join, 'd')
        if join[NAME] ~= '' then
            store(join[ID], '{"is_err": false, "log": null, "return_value": ' .. value
                .. ', "execution_time": 0.0, "labels": {}, "error": null}')
        end
        return follow(flow, join[NEXT], value, from)
    end
    mark(flow, k, join, 'f')
    local err = {result = failed[1], dependency = failed[2], called = failed[3], silent = failed[4]}
    if join[NAME] ~= '' then
        store(join[ID], err.result)
        call_errbacks(flow, join[ERRBACKS], err, join[ID], request_of(join), from)
        return skip(flow, join[NEXT], err, from)
    end
    for _, edge in ipairs(join[NEXT]) do
        if edge[1] == START then fail_body(flow, edge[2], join[ERRBACKS], err, from)
        elseif edge[1] == JOIN then fail_members(flow, edge[2], err, from)
        else skip(flow, {edge}, err, from)
        end
    end
end

enter = function(flow, k, value, from)
    local join = node_of(flow, k)
    if join.state ~= 'w' then return end
    mark(flow, k, join, 's')
    if join[SIZE] == 0 then return finish(flow, k, join, from) end
    redis.call('HSET', flow.key, 'l' .. k, join[SIZE])
    follow(flow, taken(flow, k), value, from)
end

part = function(flow, k, i, slot, from)
    local join = node_of(flow, k)
    if join.state ~= 's' or redis.call('HSETNX', flow.key, 'v' .. k .. '.' .. i, slot) == 0 then return end
    if redis.call('HINCRBY', flow.key, 'l' .. k, -1) == 0 then finish(flow, k, join, from) end
end

-- Nothing that was to follow will run.
skip = function(flow, edges, err, from)
    for _, edge in ipairs(edges) do
        local node = node_of(flow, edge[2])
        if edge[1] == PART then
            if node.state == 's' then
                -- The caller hears of the first error at once, the body when all members have ended.
                local cause = err.dependency or err.id
                if node[MAIN] == 1 then
                    local known = {result = err.result, dependency = node[NAME] == '' and cause or nil}
                    redis.call('SET', prefix .. ':result:' .. redis.call('HGET', flow.key, 'final'),
                               dependent(known), 'NX', 'EX', result_ttl)
                end
                local slot = cmsgpack.pack({err.result, cause, err.called, err.silent or false})
                part(flow, edge[2], edge[3], 'e' .. slot, from)
            end
        elseif node.state == 'w' then
            mark(flow, edge[2], node, 'x')
            if edge[1] == START then
                redis.call('HDEL', flow.key, 't' .. edge[2])
                store(node[ID], dependent(err))
            else
                skip(flow, taken(flow, edge[2]), err, from)
                if node[NAME] ~= '' then store(node[ID], err.result) end
            end
            skip(flow, node[NEXT], err, from)
        end
    end
end

local function fail(flow, k, node, err, request, from)
    mark(flow, k, node, 'f')
    if request then call_errbacks(flow, node[ERRBACKS], err, node[ID], request, from) end
    skip(flow, node[NEXT], err, from)
end

local function open(flow)
    flow.active = tonumber(redis.call('HGET', flow.key, 'active') or '0')
    flow.keep = workflow_ttl
end

local function close(flow)
    redis.call('HSET', flow.key, 'active', flow.active)
    redis.call('EXPIRE', flow.key, flow.active > 0 and flow.keep or result_ttl)
end

-- Adds the nodes of a plan. `heir` is the task whose place they take, or whose header they join.
local function load_plan(flow, plan, heir)
    local base = tonumber(redis.call('HGET', flow.key, 'nodes') or '0')
    local first = tonumber(redis.call('HGET', flow.key, 'errbacks') or '0')
    local fields = {}
    local function write(field, value)
        table.insert(fields, field)
        table.insert(fields, value)
        if #fields == 1000 then
            redis.call('HSET', flow.key, unpack(fields))
            fields = {}
        end
    end
    local function shifted(edges, inherited)
        local found = {}
        for _, edge in ipairs(edges) do
            if edge[1] == INHERITED then
                for _, other in ipairs(inherited) do table.insert(found, other) end
            elseif edge[1] == ERRBACK then
                table.insert(found, {ERRBACK, edge[2] + first})
            else
                table.insert(found, {edge[1], edge[2] + base, edge[3]})
            end
        end
        return found
    end
    for n, node in ipairs(plan.nodes) do
        local k = base + n - 1
        node[NEXT] = shifted(node[NEXT], heir and heir.next or {})
        node[ERRBACKS] = shifted(node[ERRBACKS], heir and heir.errbacks or {})
        if heir and node[MAIN] == 1 then node[MAIN] = heir.main end
        node.packed = cmsgpack.pack({unpack(node)})
        node.state = 'w'
        flow.nodes[k] = node
        flow.templates[k] = node[SIZE] and shifted(plan.templates[n], {}) or plan.templates[n]
        write('n' .. k, 'w' .. node.packed)
    end
    for n, errback in ipairs(plan.errbacks) do write('e' .. (first + n - 1), cmsgpack.pack(errback)) end
    write('nodes', base + #plan.nodes)
    redis.call('HSET', flow.key, 'errbacks', first + #plan.errbacks, unpack(fields))
    return shifted(plan.entries, heir and heir.next or {})
end

-- Keeps how to start what was not started at once.
local function keep_templates(flow)
    for k, template in pairs(flow.templates) do
        redis.call('HSET', flow.key, 't' .. k, cmsgpack.pack(template))
    end
    flow.templates = {}
end

local function begin(id, plan, from)
    local flow = workflow_of(id)
    open(flow)
    local entries = load_plan(flow, plan, nil)
    redis.call('HSET', flow.key, 'final', plan.final)
    follow(flow, entries, '', from)
    keep_templates(flow)
    close(flow)
end

local function step_of(text)
    return string.match(text or '', '^(%S+) (%S+) (%S+) (%S+)$')
end

-- A task of a workflow that no worker could run, or whose workers died.
local function abandon(text, task_id, result)
    local id, k, root = step_of(text)
    if not id or id == '-' then return end
    local flow = workflow_of(id)
    k = tonumber(k)
    local node = node_of(flow, k)
    if not node or node.state ~= 's' then return end
    open(flow)
    flow.active = flow.active - 1
    local err = {result = result, id = task_id, called = {}}
    fail(flow, k, node, err, request_of(node), {root = root, parent = task_id})
    close(flow)
end
"""
