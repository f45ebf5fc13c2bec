-- Takes in a batch of what was seen, once.
-- KEYS: the batches of the writer; then whatever the steps write to.
-- ARGV: the number of the batch, for how many seconds to remember it; then the steps:
--   latest KEY FIELD VALUE: keeps the greater VALUE; it is seconds, and perhaps a word after them.
--   add KEY FIELD NUMBER: adds.
--   count KEY FIELD PLACE BY_CERTIFICATE BY_KEY REFUSED: adds to a day; see src/store/days.rs.
--   keep KEY SECONDS: forgets the whole key so long after now.
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then
  return 'known'
end

local function later(value, known)
  local at, known_at = tonumber(value:match('^%S+')), tonumber(known:match('^%S+'))
  if not known_at then
    return error('what was seen last is damaged: ' .. known)
  end
  return at > known_at or (at == known_at and value > known)
end

-- The days of a piece, each with its place and its three counts, in order.
local function read(piece)
  local days, at = {}, 1
  local function number()
    local value, scale = 0, 1
    while true do
      local byte = piece:byte(at) or error('counts are damaged')
      at = at + 1
      value = value + byte % 128 * scale
      if byte < 128 then
        return value
      end
      scale = scale * 128
    end
  end
  while at <= #piece do
    local head = piece:byte(at)
    at = at + 1
    local day = {math.floor(head / 8), 0, 0, 0}
    for kind = 0, 2 do
      if math.floor(head / 2 ^ kind) % 2 == 1 then
        day[kind + 2] = number()
      end
    end
    days[#days + 1] = day
  end
  return days
end

local function written(days)
  local out = {}
  for _, day in ipairs(days) do
    local head, numbers = day[1] * 8, {}
    for kind = 0, 2 do
      local value = day[kind + 2]
      if value > 0 then
        head = head + 2 ^ kind
        while value >= 128 do
          numbers[#numbers + 1] = string.char(value % 128 + 128)
          value = math.floor(value / 128)
        end
        numbers[#numbers + 1] = string.char(value)
      end
    end
    if #numbers > 0 then
      out[#out + 1] = string.char(head) .. table.concat(numbers)
    end
  end
  return table.concat(out)
end

local function counted(piece, place, more)
  local days = read(piece)
  local at = 1
  while days[at] and days[at][1] < place do
    at = at + 1
  end
  if not days[at] or days[at][1] > place then
    table.insert(days, at, {place, 0, 0, 0})
  end
  for kind = 2, 4 do
    days[at][kind] = days[at][kind] + more[kind - 1]
  end
  return written(days)
end

-- First everything is worked out, so that what is damaged stops it before anything is written.
local fields, keeps = {}, {}
local function field(key, name)
  local id = key .. ' ' .. name
  if not fields[id] then
    local value = redis.call('HGET', KEYS[key], name) or false
    fields[id] = {key, name, value, value}
  end
  return fields[id]
end
local at = 3
while at <= #ARGV do
  local step, key = ARGV[at], tonumber(ARGV[at + 1])
  if step == 'keep' then
    keeps[#keeps + 1] = {key, ARGV[at + 2]}
    at = at + 3
  else
    local entry, value = field(key, ARGV[at + 2]), ARGV[at + 3]
    if step == 'latest' then
      if not entry[4] or later(value, entry[4]) then
        entry[4] = value
      end
      at = at + 4
    elseif step == 'add' then
      entry[4] = string.format('%.0f', (tonumber(entry[4] or 0) or error('a number is damaged')) + value)
      at = at + 4
    else
      local more = {tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])}
      entry[4] = counted(entry[4] or '', tonumber(value), more)
      at = at + 7
    end
  end
end

-- A script is not rolled back. So the write that can be refused, when memory is short or on a
-- replica, comes first.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
for _, entry in pairs(fields) do
  if entry[4] ~= entry[3] then
    redis.call('HSET', KEYS[entry[1]], entry[2], entry[4])
  end
end
for _, keep in ipairs(keeps) do
  redis.call('EXPIRE', KEYS[keep[1]], keep[2])
end
return 'added'
