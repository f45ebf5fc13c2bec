-- Asks `keyferry verify --answer original` (here at 127.0.0.1:8081) about a request of HAProxy. Nobody but
-- HAProxy may reach that address.

local VERIFIER = "http://127.0.0.1:8081/"
local TIMEOUT_MS = 2000

-- Of the connection and of the body, which are not asked about.
local NOT_TOLD = {
  ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
  ["expect"] = true, ["x-original-method"] = true, ["x-original-uri"] = true,
}

core.register_action("keyferry_verify", { "http-req" }, function(txn)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not NOT_TOLD[name] then
      headers[name] = {}
      for at = 0, #values do
        table.insert(headers[name], values[at])
      end
    end
  end
  headers["x-original-method"] = { txn.f:method() }
  headers["x-original-uri"] = { txn.f:pathq() }

  local answer = core.httpclient():get({ url = VERIFIER, headers = headers, timeout = TIMEOUT_MS })
  if not answer or answer.status ~= 200 then
    return
  end
  txn:set_var("txn.keyferry_status", answer.status)
  for name, variable in pairs({
    ["x-key-id"] = "txn.keyferry_key_id",
    ["x-client-id"] = "txn.keyferry_client_id",
    ["x-key-scopes"] = "txn.keyferry_key_scopes",
  }) do
    local values = answer.headers[name]
    if values then
      txn:set_var(variable, values[0])
    end
  end
end)
