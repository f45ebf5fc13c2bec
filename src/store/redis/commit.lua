-- Carries out a change whole, or not at all.
-- KEYS: the epoch, the events, the hashes of the records, and who owns which.
-- ARGV: the schema, how many events to keep, the event before and after its epoch; then for each
-- record the number of its key, its name, the version it must have, its stored form before and
-- after its version, the client whose it is or '', and its id.
-- What is stored is never encoded here: cjson would change the numbers.
local last = tonumber(redis.call('GET', KEYS[1]) or 0)
if not last then
  return redis.error_reply('ERR the epoch in ' .. KEYS[1] .. ' is not a number')
end
for i = 5, #ARGV, 7 do
  local stored = redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 1])
  local version = 0
  if stored then
    local ok, record = pcall(cjson.decode, stored)
    if not ok or type(record) ~= 'table' or record.schema ~= tonumber(ARGV[1])
      or type(record.version) ~= 'number' then
      return {'unreadable', (i - 5) / 7}
    end
    version = record.version
  end
  if version ~= tonumber(ARGV[i + 2]) then
    return {'conflict', (i - 5) / 7}
  end
end
-- A script is not rolled back. So the one write that can be refused comes first: it is refused
-- when memory is short, on a replica, and when the stream is already ahead of the epoch.
local epoch = string.format('%.0f', last + 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], epoch .. '-0',
  'event', ARGV[3] .. epoch .. ARGV[4])
redis.call('SET', KEYS[1], epoch)
for i = 5, #ARGV, 7 do
  redis.call('HSET', KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 3] .. epoch .. ARGV[i + 4])
  if ARGV[i + 5] ~= '' then
    redis.call('ZADD', KEYS[8], 0, ARGV[i + 5] .. ' ' .. ARGV[i + 6])
  end
end
return {'done', last + 1}
