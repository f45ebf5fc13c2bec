-- What envoy.yaml leaves to code: whom a credential names, which headers go, and the signature.
-- Envoy offers Lua no HMAC. So OpenSSL's is called by LuaJIT's FFI, with contexts that are kept.
-- Names in double braces are filled in by compare.py.

local ffi = require "ffi"

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
typedef struct hmac_ctx_st HMAC_CTX;
EVP_MD *EVP_MD_fetch(void *, const char *, const char *);
HMAC_CTX *HMAC_CTX_new(void);
int HMAC_Init_ex(HMAC_CTX *, const char *, int, const EVP_MD *, void *);
int HMAC_Update(HMAC_CTX *, const char *, size_t);
int HMAC_Final(HMAC_CTX *, unsigned char *, unsigned int *);
int RAND_bytes(unsigned char *, int);
]]

local crypto = ffi.load "libcrypto.so.3"
local digest = ffi.new "unsigned char[32]"

local function keyed(file)
  local secret = io.open(file, "rb"):read("*a")
  local context = crypto.HMAC_CTX_new()
  assert(crypto.HMAC_Init_ex(context, secret, #secret, crypto.EVP_MD_fetch(nil, "SHA256", nil), nil) == 1)
  return context
end

-- Of the parts as if they were one text, which LuaJIT need not make then.
local function hmac(context, ...)
  crypto.HMAC_Init_ex(context, nil, 0, nil, nil)
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    crypto.HMAC_Update(context, part, #part)
  end
  crypto.HMAC_Final(context, digest, nil)
  return ffi.string(digest, 32)
end

-- A map from digests to "KEY-ID:CLIENT".
local function map(file, form)
  local found = {}
  for line in io.lines(file) do
    local hex, key_id, client = line:match("^(%x+) (%x+):(.+)$")
    found[form(hex)] = { key_id = key_id, client = client }
  end
  return found
end

local function raw(hex)
  return (hex:gsub("..", function(byte) return string.char(tonumber(byte, 16)) end))
end

local pepper, signing = keyed("{{folder}}/pepper.key"), keyed("{{folder}}/signing.key")
local keys = map("{{folder}}/keys.map", raw)
local certificates = map("{{folder}}/certificates.map", function(hex) return hex end)

local whole, beginnings, initials = {}, {}, {}
for name in ("{{whole}}"):gmatch("%S+") do
  whole[name], initials[name:byte()] = true, true
end
for name in ("{{beginnings}}"):gmatch("%S+") do
  beginnings[#beginnings + 1], initials[name:byte()] = name, true
end

-- Names are compared with all but letters and digits as "-". Envoy gives them in lower case. It has set
-- X-Forwarded-Proto itself, and finds no route without.
local function is_reserved(name)
  if not initials[name:byte()] or name == "x-forwarded-proto" then
    return false
  end
  if name:find("[^a-z0-9-]") then
    name = name:gsub("[^a-z0-9]", "-")
  end
  if whole[name] then
    return true
  end
  for i = 1, #beginnings do
    local beginning = beginnings[i]
    if name:sub(1, #beginning) == beginning then
      return true
    end
  end
  return false
end

-- Also all with "." in their names go; those with "_" went before.
local function strip(headers, dots)
  local found = {}
  for name in pairs(headers) do
    if name:byte() ~= 58 and (dots and name:find(".", 1, true) or is_reserved(name)) then
      found[#found + 1] = name
    end
  end
  for i = 1, #found do
    headers:remove(found[i])
  end
end

local function refuse(handle, status, reason)
  handle:respond({ [":status"] = status, ["content-type"] = "application/problem+json" }, '{"reason":"' .. reason .. '"}')
end

function envoy_on_request(handle)
  local headers = handle:headers()

  -- What was presented: one key, or a certificate.
  local key, bearer = headers:get("x-api-key"), headers:get("authorization")
  bearer = bearer and bearer:match("^[Bb]earer (kf_.*)$")
  if key and bearer or key and headers:getNumValues("x-api-key") > 1 then
    return refuse(handle, "400", "credential_ambiguous")
  end

  -- Whom it names.
  local identity
  if key or bearer then
    identity = keys[hmac(pepper, key or bearer)]
  else
    local tls = handle:streamInfo():downstreamSslConnection()
    if tls:peerCertificatePresented() then
      identity = certificates[tls:sha256PeerCertificateDigest()]
    end
  end
  if not identity then
    return refuse(handle, "401", "credential_invalid")
  end

  -- Nothing that could be taken for an identity, or for another request, stays.
  if bearer then
    headers:remove("authorization")
  end
  strip(headers, true)

  -- The identity, signed.
  local authority = headers:get(":authority"):lower()
  local path, query = headers:get(":path"):match("^([^?]*)%??(.*)$")
  crypto.RAND_bytes(digest, 18)
  local nonce, now = handle:base64Escape(ffi.string(digest, 18)), os.time()
  -- LuaJIT hashes a text by its ends and its middle: with the nonce there, no two collide.
  local parameters = '("@method" "@authority" "@path" "@query" "x-key-id" "x-client-id");nonce="' .. nonce
    .. '";created=' .. now .. ";expires=" .. now + 60 .. ';alg="hmac-sha256";keyid="bench";tag="keyferry"'
  local mac = hmac(signing, '"@method": ', headers:get(":method"), '\n"@authority": ', authority, '\n"@path": ', path,
    '\n"@query": ?', query, '\n"x-key-id": ', identity.key_id, '\n"x-client-id": ', identity.client,
    '\n"@signature-params": ', parameters)
  headers:replace(":authority", authority)
  headers:add("x-key-id", identity.key_id)
  headers:add("x-client-id", identity.client)
  headers:add("signature-input", "gw=" .. parameters)
  headers:add("signature", "gw=:" .. handle:base64Escape(mac) .. ":")
end

-- The answer too.
function envoy_on_response(handle)
  strip(handle:headers(), false)
end
