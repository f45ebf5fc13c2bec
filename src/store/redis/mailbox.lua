-- Changes a mailbox whole, or not at all.
-- KEYS: the mailbox. ARGV: the version that it must have, and the one after it; then fields and what they
-- hold from now on, again and again.
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if version ~= ARGV[1] then
  return 0
end
-- In one command, since it can be refused when memory is short.
redis.call('HSET', KEYS[1], 'version', unpack(ARGV, 2))
return 1
