-- Puts other stored forms in the place of those that were read, unless a change was quicker.
-- KEYS: a hash of records. ARGV: for each record its name, its stored form, and the other one.
local written = 0
for i = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    written = written + 1
  end
end
return written
