-- Keeps what a gateway tells of itself, and when that was.
-- KEYS: a hash of the gateway's name to "<seconds> <what it told>".
-- ARGV: the name; what it tells; for how many seconds to keep the key.
-- By the server's clock: those of the gateways need not agree.
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], time[1] .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
