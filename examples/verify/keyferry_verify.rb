# frozen_string_literal: true

# Believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). Rack: Rails, Sinatra, Hanami; Ruby 3.0 or newer.
#
# By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
# parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.
#
#     use KeyferryVerify, secrets: { "orders-2026-11" => File.binread("orders.key").chomp }   # before everything else
#
# What it refuses gets 401, and the application is not called. X-Key-Id and X-Client-Id can be believed behind it.

require "digest"
require "json"
require "openssl"

class KeyferryVerify
  # Why a request is not believed: a reason of docs/VERIFY.md.
  class Refused < StandardError; end

  SKEW = 5
  LIFETIME = 60
  COVERED = %w[x-key-id x-client-id x-key-scopes content-digest].freeze
  OURS = (COVERED + %w[signature-input signature]).freeze
  TEXT = /[ !#-\[\]-~]/n
  NUMBER = /0|[1-9][0-9]{0,14}/n
  FORM = /\Agw=(?<parameters>\((?<components>[^()]*)\);created=(?<created>#{NUMBER});expires=(?<expires>#{NUMBER})
    ;nonce="(?<nonce>#{TEXT}+)";alg="hmac-sha256";keyid="(?<keyid>#{TEXT}*)";tag="keyferry")\z/nx

  # Believes +secrets+ by their key ids; two while one takes the place of the other. Each signature is good once:
  # +remember+ of the last minute are kept, for this process alone, and more are refused; 0 keeps none.
  def initialize(app, secrets:, remember: 100_000, clock: -> { Time.now.to_i })
    @app, @secrets, @remember, @clock = app, secrets, remember, clock
    @seen, @lock = {}, Mutex.new
  end

  def call(env)
    check(env)
    @app.call(env)
  rescue Refused => refused
    body = JSON.generate(title: "Unauthorized", status: 401, reason: refused.message)
    headers = { "content-type" => "application/problem+json", "www-authenticate" => 'Signature realm="keyferry"' }
    [401, headers, [body]]
  end

  # The client and its key id. Servers join what comes twice, and fold names; what is joined does not fit.
  def check(env)
    header = ->(name) { env["HTTP_#{name.upcase.tr("-", "_")}"]&.b }
    there = OURS.select { |name| header[name] }
    raise Refused, "header_disguised" if env.keys.any? { |name| disguised?(name) }
    raise Refused, "signature_missing" if (there - ["content-digest"]).empty?
    raise Refused, "signature_header" unless (OURS - there - %w[x-key-scopes content-digest]).empty? && header["host"]

    target = env["REQUEST_URI"].to_s.b
    raise Refused, "request_malformed" unless target.start_with?("/")

    path, _, query = target.partition("?")
    authority = header["host"].downcase.sub(/:(443|80)\z/n, "")
    lines = { "@method" => env["REQUEST_METHOD"], "@authority" => authority, "@path" => path, "@query" => "?#{query}" }
    (COVERED & there).each { |name| lines[name] = header[name] }
    form = FORM.match(header["signature-input"])
    unless form && form[:components] == lines.keys.map { |name| %("#{name}") }.join(" ") && lines.values.all?(/\A[ -~]*\z/n)
      raise Refused, "signature_malformed"
    end
    secret = @secrets[form[:keyid]] or raise Refused, "signature_key_unknown"
    base = lines.map { |name, value| %("#{name}": #{value}\n) }.join + %("@signature-params": #{form[:parameters]})
    expected = "gw=:#{[OpenSSL::HMAC.digest("SHA256", secret, base)].pack("m0")}:"
    unless OpenSSL.secure_compare(expected, header["signature"])
      raise Refused, "signature_mismatch"
    end

    created, expires, now = form[:created].to_i, form[:expires].to_i, @clock.call
    unless (0..LIFETIME).cover?(expires - created) && (created - SKEW..expires + SKEW).cover?(now)
      raise Refused, "signature_not_current"
    end
    once(form[:nonce], expires + SKEW, now) if @remember.positive?
    [header["x-client-id"], header["x-key-id"]]
  end

  # Whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body.
  def self.body_fits?(digest, body)
    found = digest.scan(%r{(?:^|, *)sha-(256|512)=:([A-Za-z0-9+/=]*):})
    found.any? && found.all? { |bits, text| [Digest::SHA2.new(bits.to_i).digest(body)].pack("m0") == text }
  end

  private

  # Of names with other marks than hyphens, servers keep all but the underscore.
  def disguised?(name)
    return false unless name.start_with?("HTTP_")

    plain = name.delete_prefix("HTTP_").downcase
    !OURS.include?(plain.tr("_", "-")) && OURS.include?(plain.gsub(/[^a-z0-9]/, "-"))
  end

  def once(nonce, until_, now)
    @lock.synchronize do
      @seen.shift while (oldest = @seen.first) && oldest[1] < now
      raise Refused, "signature_replayed" if @seen.key?(nonce)
      raise Refused, "too_many_signatures" if @seen.size >= @remember

      @seen[nonce] = until_
    end
  end
end
