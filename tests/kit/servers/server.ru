# The Ruby verifier before an application that says whom it sees: `puma -b tcp://127.0.0.1:PORT server.ru`. SECRETS is a
# folder of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many signatures are kept.

require_relative "../../../examples/verify/keyferry_verify"

secrets = Dir["#{ENV.fetch("SECRETS")}/*"].to_h { |file| [File.basename(file), File.binread(file).delete_suffix("\n")] }
now = ENV["NOW"]
remember = ENV.fetch("REMEMBER", "100000").to_i
use KeyferryVerify, secrets: secrets, remember: remember, clock: -> { now ? File.read(now).to_i : Time.now.to_i }

run(lambda do |env|
  digest = env["HTTP_CONTENT_DIGEST"]
  unless digest.nil? || KeyferryVerify.body_fits?(digest, env["rack.input"].read)
    next [401, {}, ["body_mismatch"]]
  end
  seen = { "Echo-Client" => "HTTP_X_CLIENT_ID", "Echo-Key-Id" => "HTTP_X_KEY_ID", "Echo-Scopes" => "HTTP_X_KEY_SCOPES" }
  [200, seen.transform_values { |name| env[name].to_s }, ["ok"]]
end)
