-- Adds to what clients ask for, which fades, and gives what that is now.
-- KEYS: a hash of client id to "<requests> <microseconds>", the number at that time; the one of the hour
-- before, where a client is found that has not called in this one.
-- ARGV: the time in which a number fades to a third, in microseconds; for how many seconds to keep the
-- key; then a client id and a number of requests, again and again.
-- By the server's clock: those of the gateways need not agree.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local totals = {}
for i = 3, #ARGV, 2 do
  local total = tonumber(ARGV[i + 1])
  local known = redis.call('HGET', KEYS[1], ARGV[i]) or redis.call('HGET', KEYS[2], ARGV[i])
  local number, at = (known or ''):match('^(%d+%.%d+) (%d+)$')
  if number then
    total = total + number * math.exp(-math.max(now - at, 0) / ARGV[1])
  end
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.3f %.0f', total, now))
  totals[#totals + 1] = string.format('%.3f', total)
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return totals
