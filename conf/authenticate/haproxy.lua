-- Asks the gateway about a request of HAProxy, through the socket of haproxy.cfg beside this file.

local SOCKET = "unix@/run/haproxy/keyferry.sock"
local QUESTION = "http://127.0.0.1/.well-known/keyferry/authenticate"
local TIMEOUT_MS = 5000

-- Of the connection and of the body, which are not asked about; and what is set below.
local NOT_TOLD = {
  ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
  ["expect"] = true, ["te"] = true, ["x-original-method"] = true, ["x-original-uri"] = true,
}
-- What the gateway signed, for the backend.
local IDENTITY = { "x-key-id", "x-client-id", "x-key-scopes", "signature", "signature-input", "x-request-id" }
-- What the client is told beside the backend's answer.
local NOTICES = {
  ["deprecation"] = "txn.keyferry_deprecation", ["sunset"] = "txn.keyferry_sunset",
  ["link"] = "txn.keyferry_link", ["x-api-key-check"] = "txn.keyferry_key_check",
  ["x-request-id"] = "txn.keyferry_request_id",
}
-- Of an answer, what is between the gateway and HAProxy.
local BETWEEN_US = {
  ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["keep-alive"] = true,
  ["x-refusal-reason"] = true, ["x-refusal-document"] = true,
}

-- Of headers as HAProxy gives them, which count from 0.
local function listed(values)
  local list = {}
  for at = 0, #values do
    table.insert(list, values[at])
  end
  return list
end

local function question(txn)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not NOT_TOLD[name] then
      headers[name] = listed(values)
    end
  end
  headers["x-original-method"] = { txn.f:method() }
  headers["x-original-uri"] = { txn.f:pathq() }
  return { url = QUESTION, dst = SOCKET, headers = headers, timeout = TIMEOUT_MS }
end

local function refuse(txn, answer)
  local headers = {}
  for name, values in pairs(answer.headers) do
    if not BETWEEN_US[name] then
      headers[name] = listed(values)
    end
  end
  txn:done(txn:reply({ status = answer.status, headers = headers, body = answer.body }))
end

core.register_action("keyferry_authenticate", { "http-req" }, function(txn)
  local answer = core.httpclient():get(question(txn))
  if not answer or not answer.headers or (answer.status or 0) < 200 then
    return
  end
  if answer.status ~= 200 then
    return refuse(txn, answer)
  end
  -- Before the identity is set: what came under its names goes, too.
  local remove = answer.headers["x-envoy-auth-headers-to-remove"]
  -- The gateway names X-Original-URI at least: whoever names nothing is somebody else.
  if not remove then return end
  for name in string.gmatch(remove[0], "[^,%s]+") do
    txn.http:req_del_header(name)
  end
  for _, name in ipairs(IDENTITY) do
    txn.http:req_del_header(name)
    if answer.headers[name] then
      txn.http:req_set_header(name, answer.headers[name][0])
    end
  end
  for name, variable in pairs(NOTICES) do
    if answer.headers[name] then
      txn:set_var(variable, table.concat(listed(answer.headers[name]), ", "))
    end
  end
  txn:set_var("txn.keyferry_yes", true)
end)
