-- Carries out a change whole, or not at all.
-- KEYS: the epoch, the head, the events, the hashes of the records, and who owns which.
-- ARGV: the newest schema that is known, how many events to keep; the epoch and the head that the
-- change follows on (both as they are stored), then its own, and its event; then for each record the
-- number of its key, its name, the version it must have, its stored form, the client whose it is or
-- '', and its id.
local epoch = redis.call('GET', KEYS[1]) or '0'
if not tonumber(epoch) then
  return redis.error_reply('ERR the epoch in ' .. KEYS[1] .. ' is not a number')
end
for i = 8, #ARGV, 6 do
  local stored = redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 1])
  local version = 0
  if stored then
    local ok, record = pcall(cjson.decode, stored)
    if not ok or type(record) ~= 'table' or type(record.schema) ~= 'number'
      or record.schema > tonumber(ARGV[1]) or type(record.version) ~= 'number' then
      return {'unreadable', tostring((i - 8) / 6), ''}
    end
    version = record.version
    -- No change has written it. Followers would take the next one for an older version.
    if version > tonumber(epoch) then
      return {'unreadable', tostring((i - 8) / 6), ''}
    end
  end
  if version ~= tonumber(ARGV[i + 2]) then
    return {'conflict', tostring((i - 8) / 6), ''}
  end
end
local head = redis.call('GET', KEYS[2]) or ''
if epoch ~= ARGV[3] or head ~= ARGV[4] then
  return {'behind', epoch, head}
end
-- A script is not rolled back. So the one write that can be refused comes first: it is refused
-- when memory is short, on a replica, and when the stream is already ahead of the epoch.
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], ARGV[5] .. '-0', 'event', ARGV[7])
redis.call('SET', KEYS[1], ARGV[5])
redis.call('SET', KEYS[2], ARGV[6])
for i = 8, #ARGV, 6 do
  redis.call('HSET', KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 3])
  if ARGV[i + 4] ~= '' then
    redis.call('ZADD', KEYS[9], 0, ARGV[i + 4] .. ' ' .. ARGV[i + 5])
  end
end
return {'done', ARGV[5], ARGV[6]}
