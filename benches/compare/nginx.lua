-- What nginx.conf leaves to code: whom a credential names, which headers go, and the signature.
-- OpenSSL's HMAC and SHA-256 are called by LuaJIT's FFI, with contexts that are kept.

local ffi = require "ffi"
local lrucache = require "resty.lrucache"

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
typedef struct hmac_ctx_st HMAC_CTX;
EVP_MD *EVP_MD_fetch(void *, const char *, const char *);
int EVP_Digest(const char *, size_t, unsigned char *, unsigned int *, const EVP_MD *, void *);
HMAC_CTX *HMAC_CTX_new(void);
int HMAC_Init_ex(HMAC_CTX *, const char *, int, const EVP_MD *, void *);
int HMAC_Update(HMAC_CTX *, const char *, size_t);
int HMAC_Final(HMAC_CTX *, unsigned char *, unsigned int *);
int RAND_bytes(unsigned char *, int);
]]

local C = ffi.C
local digest = ffi.new "unsigned char[32]"
local sha256 = C.EVP_MD_fetch(nil, "SHA256", nil)
local keys, certificates = {}, {}
local pepper, signing, reserved
-- A certificate's identity by its PEM, as many as there are identities.
local seen = lrucache.new(10000)

local function keyed(secret)
    local context = C.HMAC_CTX_new()
    assert(C.HMAC_Init_ex(context, secret, #secret, sha256, nil) == 1)
    return context
end

-- Of the parts as if they were one text, which LuaJIT need not make then.
local function hmac(context, ...)
    C.HMAC_Init_ex(context, nil, 0, nil, nil)
    for i = 1, select("#", ...) do
        local part = select(i, ...)
        C.HMAC_Update(context, part, #part)
    end
    C.HMAC_Final(context, digest, nil)
    return ffi.string(digest, 32)
end

-- A map from hexadecimal digests to "KEY-ID:CLIENT".
local function load_map(path, into)
    for line in io.lines(path) do
        local hex, key_id, client = line:match("^(%x+) (%x+):(.+)$")
        local raw = hex:gsub("..", function(byte) return string.char(tonumber(byte, 16)) end)
        into[raw] = { key_id = key_id, client = client }
    end
end

local function by_certificate()
    local pem = ngx.var.ssl_client_raw_cert
    local found = seen:get(pem)
    if not found then
        local der = ngx.decode_base64((pem:match("%-\n(.-)\n%-"):gsub("\n", "")))
        C.EVP_Digest(der, #der, digest, nil, sha256, nil)
        found = certificates[ffi.string(digest, 32)]
        if found then
            seen:set(pem, found)
        end
    end
    return found
end

local function refuse(status, reason)
    local body = '{"reason":"' .. reason .. '"}'
    ngx.status = status
    ngx.header.content_type = "application/problem+json"
    ngx.header.content_length = #body
    ngx.print(body)
    return ngx.exit(status)
end

local M = {}

-- Before the workers are forked, so that they share what is read.
function M.load(folder, pepper_base64, signing_base64, expression)
    pepper = keyed(ngx.decode_base64(pepper_base64))
    signing = keyed(ngx.decode_base64(signing_base64))
    reserved = expression
    load_map(folder .. "/keys.map", keys)
    load_map(folder .. "/certificates.map", certificates)
end

function M.admit()
    local var, headers = ngx.var, ngx.req.get_headers(0)
    var.id = headers["x-request-id"] or var.request_id

    -- What was presented: one key, or a certificate.
    local key, bearer = headers["x-api-key"], headers["authorization"]
    if bearer then
        bearer = type(bearer) == "string" and bearer:match("^[Bb]earer (kf_.*)$")
    end
    if key and bearer or type(key) == "table" then
        return refuse(400, "credential_ambiguous")
    end

    -- Whom it names.
    local identity
    if key or bearer then
        identity = keys[hmac(pepper, key or bearer)]
    elseif var.ssl_client_verify == "SUCCESS" then
        identity = by_certificate()
    end
    if not identity then
        return refuse(401, "credential_invalid")
    end

    -- Nothing that could be taken for an identity, or for another request, stays.
    if bearer then
        ngx.req.clear_header("authorization")
    end
    for name in pairs(headers) do
        if ngx.re.find(name, reserved, "jo") then
            ngx.req.clear_header(name)
        end
    end

    -- The identity, signed.
    local authority = var.http_host:lower():gsub(":443$", ""):gsub(":80$", "")
    local path, query = var.request_uri:match("^([^?]*)%??(.*)$")
    C.RAND_bytes(digest, 18)
    local nonce, now = ngx.encode_base64(ffi.string(digest, 18)), ngx.time()
    -- LuaJIT hashes a text by its ends and its middle: with the nonce there, no two collide.
    local parameters = '("@method" "@authority" "@path" "@query" "x-key-id" "x-client-id");nonce="' .. nonce
        .. '";created=' .. now .. ";expires=" .. now + 60 .. ';alg="hmac-sha256";keyid="bench";tag="keyferry"'
    local mac = hmac(signing, '"@method": ', var.request_method, '\n"@authority": ', authority, '\n"@path": ', path,
        '\n"@query": ?', query, '\n"x-key-id": ', identity.key_id, '\n"x-client-id": ', identity.client,
        '\n"@signature-params": ', parameters)
    var.authority = authority
    var.key_id = identity.key_id
    var.client = identity.client
    var.parameters = parameters
    var.signature = ngx.encode_base64(mac)
end

-- The answer too.
function M.answer()
    for name in pairs(ngx.resp.get_headers(0)) do
        if ngx.re.find(name, reserved, "jo") then
            ngx.header[name] = nil
        end
    end
    ngx.header["X-Request-Id"] = ngx.var.id
end

return M
