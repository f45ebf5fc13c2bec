// KeyferryVerifier.cs as middleware of ASP.NET Core 3.1 or newer.

using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

public sealed class KeyferryMiddleware
{
    readonly RequestDelegate next;
    readonly KeyferryVerifier verifier;

    public KeyferryMiddleware(RequestDelegate next, KeyferryVerifier verifier)
    {
        this.next = next;
        this.verifier = verifier;
    }

    public Task InvokeAsync(HttpContext context)
    {
        try
        {
            var headers = context.Request.Headers.SelectMany(
                header => header.Value, (header, value) => new KeyValuePair<string, string>(header.Key, value));
            context.Items["keyferry"] = verifier.Check(context.Request.Method, context.Features.Get<IHttpRequestFeature>().RawTarget, headers);
        }
        catch (KeyferryRefused refused)
        {
            context.Response.StatusCode = 401;
            context.Response.ContentType = "application/problem+json";
            context.Response.Headers["WWW-Authenticate"] = "Signature realm=\"keyferry\"";
            return context.Response.WriteAsync("{\"title\":\"Unauthorized\",\"status\":401,\"reason\":\"" + refused.Message + "\"}");
        }
        return next(context);
    }
}
