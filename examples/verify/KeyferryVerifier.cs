// Believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). C# 7 or newer: ASP.NET Core by
// KeyferryMiddleware.cs, HttpListener as in tests/kit/servers/Listener.cs.
//
// By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
// parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.
//
//     var verifier = new KeyferryVerifier(new Dictionary<string, byte[]> { ["orders-2026-11"] = secret });
//     app.UseMiddleware<KeyferryMiddleware>(verifier);   // before everything else

using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

/// <summary>Why a request is not believed: a reason of docs/VERIFY.md.</summary>
public sealed class KeyferryRefused : Exception
{
    public KeyferryRefused(string reason) : base(reason) { }
}

/// <summary>Who called. Take it from here: HttpListener of Mono adds the trailers of a body to the headers.</summary>
public sealed class KeyferryIdentity
{
    public string Client, KeyId, Scopes;
}

/// <summary>Believes secrets by their key ids; two while one takes the place of the other. Each signature is good once: so
/// many of the last minute are remembered, for this process alone, and more are refused; 0 keeps none.</summary>
public sealed class KeyferryVerifier
{
    const int Skew = 5, Lifetime = 60;
    static readonly string[] Covered = { "x-key-id", "x-client-id", "x-key-scopes", "content-digest" };
    static readonly string[] Ours = Covered.Concat(new[] { "signature-input", "signature" }).ToArray();
    const string Number = "(0|[1-9][0-9]{0,14})", Text = @"[ !#-\[\]-~]";
    static readonly Regex Form = new Regex(@"\Agw=(\(([^()]*)\);created=" + Number + ";expires=" + Number + ";nonce=\"(" + Text
        + "+)\";alg=\"hmac-sha256\";keyid=\"(" + Text + "*)\";tag=\"keyferry\")\\z", RegexOptions.CultureInvariant);
    static readonly Regex Digests = new Regex("(?:^|, *)(sha-256|sha-512)=:([A-Za-z0-9+/=]*):");

    readonly IDictionary<string, byte[]> secrets;
    readonly int remember;
    readonly Func<long> clock;
    readonly Dictionary<string, long> seen = new Dictionary<string, long>();
    long swept;

    public KeyferryVerifier(IDictionary<string, byte[]> secrets, int remember = 100000, Func<long> clock = null)
    {
        this.secrets = secrets;
        this.remember = remember;
        this.clock = clock ?? (() => DateTimeOffset.UtcNow.ToUnixTimeSeconds());
    }

    /// <summary>Throws unless the request is believed. The target is as it stood on the wire; a header that came twice is
    /// there twice.</summary>
    public KeyferryIdentity Check(string method, string target, IEnumerable<KeyValuePair<string, string>> headers)
    {
        var values = headers.ToLookup(pair => pair.Key.ToLowerInvariant(), pair => pair.Value);
        RefuseIf(values.Any(one => !Ours.Contains(one.Key) && Ours.Contains(Regex.Replace(one.Key, "[^a-z0-9]", "-"))), "header_disguised");
        RefuseIf(!Ours.Any(name => name != "content-digest" && values.Contains(name)), "signature_missing");
        foreach (var name in Ours.Append("host"))
        {
            var found = values[name].Count();
            RefuseIf(found > 1 || found == 0 && name != "x-key-scopes" && name != "content-digest", "signature_header");
        }
        RefuseIf(target == null || !target.StartsWith("/", StringComparison.Ordinal), "request_malformed");

        var path = target.Split('?')[0];
        var query = target.Length == path.Length ? "?" : target.Substring(path.Length);
        var authority = Regex.Replace(values["host"].Single().ToLowerInvariant(), @":(443|80)\z", "");
        var lines = new List<KeyValuePair<string, string>>();
        Action<string, string> cover = (name, value) => lines.Add(new KeyValuePair<string, string>(name, value));
        cover("@method", method);
        cover("@authority", authority);
        cover("@path", path);
        cover("@query", query);
        foreach (var name in Covered.Where(values.Contains)) cover(name, values[name].Single());
        var form = Form.Match(values["signature-input"].Single());
        var components = string.Join(" ", lines.Select(line => "\"" + line.Key + "\""));
        var isText = lines.All(line => Regex.IsMatch(line.Value, @"\A[ -~]*\z"));
        RefuseIf(!form.Success || form.Groups[2].Value != components || !isText, "signature_malformed");
        RefuseIf(!secrets.TryGetValue(form.Groups[6].Value, out var secret), "signature_key_unknown");
        var signed = string.Concat(lines.Select(line => "\"" + line.Key + "\": " + line.Value + "\n"))
            + "\"@signature-params\": " + form.Groups[1].Value;
        using (var mac = new HMACSHA256(secret))
        {
            var expected = "gw=:" + Convert.ToBase64String(mac.ComputeHash(Encoding.ASCII.GetBytes(signed))) + ":";
            RefuseIf(!SameText(expected, values["signature"].Single()), "signature_mismatch");
        }

        long created = long.Parse(form.Groups[3].Value), expires = long.Parse(form.Groups[4].Value), now = clock();
        var isNow = created - Skew <= now && now <= expires + Skew;
        RefuseIf(!isNow || expires < created || expires - created > Lifetime, "signature_not_current");
        if (remember > 0) Once(form.Groups[5].Value, expires + Skew, now);
        Func<string, string> only = name => values[name].SingleOrDefault() ?? "";
        return new KeyferryIdentity { Client = only("x-client-id"), KeyId = only("x-key-id"), Scopes = only("x-key-scopes") };
    }

    /// <summary>Whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body.</summary>
    public static bool BodyFits(string digest, byte[] body)
    {
        using (var sha256 = SHA256.Create())
        using (var sha512 = SHA512.Create())
        {
            var found = Digests.Matches(digest).Cast<Match>().ToArray();
            Func<string, byte[]> made = name => name == "sha-256" ? sha256.ComputeHash(body) : sha512.ComputeHash(body);
            return found.Length > 0 && found.All(one => Convert.ToBase64String(made(one.Groups[1].Value)) == one.Groups[2].Value);
        }
    }

    void Once(string nonce, long until, long now)
    {
        lock (seen)
        {
            if (now > swept)
            {
                foreach (var old in seen.Where(one => one.Value < now).Select(one => one.Key).ToArray()) seen.Remove(old);
                swept = now;
            }
            RefuseIf(seen.ContainsKey(nonce), "signature_replayed");
            RefuseIf(seen.Count >= remember, "too_many_signatures");
            seen[nonce] = until;
        }
    }

    // In constant time; CryptographicOperations.FixedTimeEquals is not in every runtime that this is for.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.NoOptimization)]
    static bool SameText(string expected, string given)
    {
        var differs = expected.Length ^ given.Length;
        for (var at = 0; at < given.Length; at++) differs |= expected[at % expected.Length] ^ given[at];
        return differs == 0;
    }

    static void RefuseIf(bool it, string reason)
    {
        if (it) throw new KeyferryRefused(reason);
    }
}
