"""What Redis does in one step. Keys: the log (a stream), its base (a hash), the writer's lock.

The id of an entry is its position and the number its sender gave it. So an id that is known to a
replica and not to the log shows that the log lost something: a restart without its last second, or
another log under the same name.
"""

from __future__ import annotations

#: ARGV: last entry known, seconds to live, most bytes of news, whether to append only if nobody
#: else did, then number and payload of each operation.
EXCHANGE = """
local log, after, most = KEYS[1], ARGV[1], tonumber(ARGV[3])
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local base = redis.call('HGET', KEYS[2], 'chunks') or ''
if not newest then return {'empty', base, {}, {}} end
local news, bytes = {}, 0
if newest[1] ~= after then
  if after == '' or #redis.call('XRANGE', log, after, after) == 0 then
    return {'forked', base, {}, {newest[1]}}
  end
  local from = after
  while from ~= newest[1] do
    for _, entry in ipairs(redis.call('XRANGE', log, '(' .. from, '+', 'COUNT', 16)) do
      from = entry[1]
      news[#news + 1] = {from, entry[2][2]}
      bytes = bytes + #entry[2][2]
      if bytes > most then break end
    end
    if bytes > most then break end
  end
  if from ~= newest[1] then return {'behind', base, news, {}} end
end
if ARGV[4] == '1' and #news > 0 then return {'moved', base, news, {}} end
local position, ids = tonumber(string.match(newest[1], '^%d+')), {}
for i = 5, #ARGV, 2 do
  position = position + 1
  ids[#ids + 1] = string.format('%.0f-%s', position, ARGV[i])
  redis.call('XADD', log, ids[#ids], 'o', ARGV[i + 1])
end
redis.call('EXPIRE', log, ARGV[2])
return {'ok', base, news, ids}
"""

#: ARGV: seconds to live, id and payload of the first entry, then the fields of the base.
BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('XADD', KEYS[1], ARGV[2], 'o', ARGV[3])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'id', ARGV[2], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""

#: ARGV: the lock's token, seconds to live, the entry the new base is as of, number and payload of
#: an operation to append (or two empty strings) and the position it has to be beyond, then the
#: fields of the base. Answers with the chunks of the base before, which nobody needs any more.
COMMIT = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {'late'} end
if #redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3]) == 0 then return {'forked'} end
local before = redis.call('HMGET', KEYS[2], 'chunks', 'count')
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'id', ARGV[3], unpack(ARGV, 7))
if ARGV[4] ~= '' then
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
  local position = math.max(tonumber(string.match(newest, '^%d+')), tonumber(ARGV[6])) + 1
  local id = string.format('%.0f-%s', position, ARGV[4])
  redis.call('XADD', KEYS[1], id, 'o', ARGV[5])
  redis.call('HSET', KEYS[2], 'again_until', id)
end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3])
return {'ok', before[1] or '', before[2] or '0'}
"""

#: Let go of the lock, if it is still ours. ARGV: the token.
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

#: Keep the lock, if it is still ours. ARGV: the token, seconds.
HOLD = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
