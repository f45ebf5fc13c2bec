// The C# verifier before an application that says whom it sees, on HttpListener: `Listener.exe PORT`. SECRETS is a folder
// of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many signatures are kept.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Text;

static class Listener
{
    static void Main(string[] arguments)
    {
        var secrets = new Dictionary<string, byte[]>();
        foreach (var file in Directory.GetFiles(Environment.GetEnvironmentVariable("SECRETS")))
        {
            var bytes = File.ReadAllBytes(file);
            secrets[Path.GetFileName(file)] = bytes.Last() == '\n' ? bytes.Take(bytes.Length - 1).ToArray() : bytes;
        }
        var now = Environment.GetEnvironmentVariable("NOW");
        var remember = int.Parse(Environment.GetEnvironmentVariable("REMEMBER") ?? "100000");
        var verifier = new KeyferryVerifier(secrets, remember, now == null ? (Func<long>)null : () => long.Parse(File.ReadAllText(now)));
        var listener = new HttpListener();
        listener.Prefixes.Add("http://*:" + arguments[0] + "/");
        listener.Start();
        while (true) Answer(verifier, listener.GetContext());
    }

    static void Answer(KeyferryVerifier verifier, HttpListenerContext context)
    {
        var request = context.Request;
        KeyferryIdentity caller;
        try
        {
            var headers = request.Headers.AllKeys.SelectMany(
                name => request.Headers.GetValues(name), (name, value) => new KeyValuePair<string, string>(name, value));
            caller = verifier.Check(request.HttpMethod, request.RawUrl, headers);
        }
        catch (KeyferryRefused refused)
        {
            context.Response.AddHeader("WWW-Authenticate", "Signature realm=\"keyferry\"");
            Say(context, 401, refused.Message);
            return;
        }
        var body = new MemoryStream();
        request.InputStream.CopyTo(body);
        var digest = request.Headers["Content-Digest"];
        if (digest != null && !KeyferryVerifier.BodyFits(digest, body.ToArray()))
        {
            Say(context, 401, "body_mismatch");
            return;
        }
        context.Response.AddHeader("Echo-Client", caller.Client);
        context.Response.AddHeader("Echo-Key-Id", caller.KeyId);
        context.Response.AddHeader("Echo-Scopes", caller.Scopes);
        Say(context, 200, "ok");
    }

    static void Say(HttpListenerContext context, int status, string text)
    {
        context.Response.StatusCode = status;
        try
        {
            context.Response.Close(context.Request.HttpMethod == "HEAD" ? new byte[0] : Encoding.ASCII.GetBytes(text), true);
        }
        catch (Exception)
        {
            // Whoever asked has gone.
        }
    }
}
