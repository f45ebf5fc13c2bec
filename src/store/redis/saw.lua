-- Takes in a batch of what was seen, once.
-- KEYS: the batches of the writer; then whatever the steps write to.
-- ARGV: the number of the batch, for how many seconds to remember it; then the steps:
--   latest KEY FIELD VALUE: keeps the greater VALUE; it is seconds, and perhaps a word after them.
--   add KEY FIELD NUMBER: adds.
--   count KEY FIELD PLACE BY_CERTIFICATE BY_KEY REFUSED: adds to a day; see src/store/days.rs.
--   keep KEY SECONDS: forgets the whole key so long after now.
-- Gives how many fields were damaged. One that is damaged does not hold up the others: a time is
-- replaced, a number or counts are left as they are.
local last = redis.call('GET', KEYS[1])
if last and #last <= 18 and last:match('^%d+$') and tonumber(last) >= tonumber(ARGV[1]) then
  return 0
end

-- The seconds, and the word after them or ''; nothing when it is damaged.
local function parts(value)
  local at, rest = value:match('^(%-?%d+)(.*)$')
  if at and #at <= 18 and (rest == '' or rest:match('^ [%w_.:]+$')) then
    return tonumber(at), rest
  end
end

-- The greater one, and whether the known one is damaged.
local function latest(known, value)
  local at, rest = parts(value)
  local known_at, known_rest = parts(known)
  if not known_at or (known_rest == '') ~= (rest == '') then
    return value, true
  end
  local is_later = at > known_at or (at == known_at and value > known)
  return is_later and value or known, false
end

-- The sum, and whether the known number is damaged.
local function added(known, more)
  if #known > 19 or not known:match('^%d+$') then
    return known, true
  end
  return string.format('%.0f', known + more), false
end

-- The number that begins at a place of the piece, and the place after it.
local function number(piece, at)
  local value, scale = 0, 1
  while true do
    local byte = piece:byte(at) or error('counts are damaged')
    at = at + 1
    value = value + byte % 128 * scale
    if byte < 128 then
      return value, at
    end
    scale = scale * 128
  end
end

local HOW_MANY = {[0] = 0, 1, 1, 2, 1, 2, 2, 3}

-- The place after the day that begins at this one.
local function after(piece, at)
  for _ = 1, HOW_MANY[piece:byte(at) % 8] do
    -- The last byte of a number is the first that is below 128, and it is not 0.
    local last = piece:find('[\1-\127]', at + 1)
    if not last or last - at > 9 then
      error('counts are damaged')
    end
    at = last
  end
  return at + 1
end

-- A day with its three counts.
local function written(place, counts)
  local head, numbers = place * 8, {}
  for kind = 1, 3 do
    local value = counts[kind]
    if value > 0 then
      head = head + 2 ^ (kind - 1)
      while value >= 128 do
        numbers[#numbers + 1] = string.char(value % 128 + 128)
        value = math.floor(value / 128)
      end
      numbers[#numbers + 1] = string.char(value)
    end
  end
  return #numbers == 0 and '' or string.char(head) .. table.concat(numbers)
end

-- The piece, with more counted on one of its days.
local function counted(piece, place, more)
  local at = 1
  while at <= #piece and piece:byte(at) < place * 8 do
    at = after(piece, at)
  end
  local next = at
  if at <= #piece and math.floor(piece:byte(at) / 8) == place then
    local flags = piece:byte(at) % 8
    next = at + 1
    for kind = 1, 3 do
      if math.floor(flags / 2 ^ (kind - 1)) % 2 == 1 then
        local value
        value, next = number(piece, next)
        more[kind] = more[kind] + value
      end
    end
  end
  local rest = next
  while rest <= #piece do
    rest = after(piece, rest)
  end
  return piece:sub(1, at - 1) .. written(place, more) .. piece:sub(next)
end

-- First everything is worked out, so that whatever goes wrong there stops it before anything is
-- written.
local fields, keeps, damaged = {}, {}, 0
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
    local entry, value, is_damaged = field(key, ARGV[at + 2]), ARGV[at + 3], false
    if step == 'latest' then
      entry[4], is_damaged = latest(entry[4] or value, value)
      at = at + 4
    elseif step == 'add' then
      entry[4], is_damaged = added(entry[4] or '0', value)
      at = at + 4
    else
      local more = {tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])}
      local is_whole, piece = pcall(counted, entry[4] or '', tonumber(value), more)
      if is_whole then
        entry[4] = piece
      end
      is_damaged = not is_whole
      at = at + 7
    end
    if is_damaged and not entry.damaged then
      entry.damaged = true
      damaged = damaged + 1
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
return damaged
