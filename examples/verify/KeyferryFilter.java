// Believes only requests that a Keyferry gateway signed (docs/SIGNATURE.md). Jakarta Servlet 5 or newer (Tomcat, Jetty,
// Spring Boot); Java 17 or newer.
//
// By hand, with the standard library: the gateway gives its signature one form, so one pattern takes the place of a
// parser. Libraries for RFC 9421 read every form that there may be, and one still had to compare what was covered.
//
//     new KeyferryFilter(Map.of("orders-2026-11", secret))   // the file's bytes, less the line end
//
// Map it to /*, before every other filter. What it refuses gets 401, and the application is not called. X-Key-Id and
// X-Client-Id can be believed behind it.

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class KeyferryFilter implements Filter {
    private static final int SKEW = 5;
    private static final int LIFETIME = 60;
    private static final List<String> COVERED = List.of("x-key-id", "x-client-id", "x-key-scopes", "content-digest");
    private static final List<String> OURS =
        List.of("x-key-id", "x-client-id", "x-key-scopes", "content-digest", "signature-input", "signature");
    private static final String NUMBER = "(0|[1-9][0-9]{0,14})";
    private static final String TEXT = "[ !#-\\[\\]-~]";
    private static final Pattern FORM = Pattern.compile("gw=(\\(([^()]*)\\);created=" + NUMBER + ";expires=" + NUMBER
        + ";nonce=\"(" + TEXT + "+)\";alg=\"hmac-sha256\";keyid=\"(" + TEXT + "*)\";tag=\"keyferry\")");
    private static final Pattern DIGEST = Pattern.compile("(?:^|, *)(sha-256|sha-512)=:([A-Za-z0-9+/=]*):");

    private final Map<String, byte[]> secrets;
    private final int remember;
    private final LongSupplier clock;
    private final LinkedHashMap<String, Long> seen = new LinkedHashMap<>();

    /** Why a request is not believed: a reason of docs/VERIFY.md. */
    public static final class Refused extends Exception {
        Refused(String reason) { super(reason); }
    }

    public KeyferryFilter(Map<String, byte[]> secrets) {
        this(secrets, 100_000, () -> System.currentTimeMillis() / 1000);
    }

    /** Believes secrets by their key ids; two while one takes the place of the other. Each signature is good once: so many
     * of the last minute are remembered, for this process alone, and more are refused; 0 keeps none. */
    public KeyferryFilter(Map<String, byte[]> secrets, int remember, LongSupplier clock) {
        this.secrets = Map.copyOf(secrets);
        this.remember = remember;
        this.clock = clock;
    }

    @Override
    public void doFilter(ServletRequest request, ServletResponse response, FilterChain chain) throws IOException, ServletException {
        try {
            check((HttpServletRequest) request);
        } catch (Refused | GeneralSecurityException refused) {
            HttpServletResponse answer = (HttpServletResponse) response;
            answer.setStatus(401);
            answer.setContentType("application/problem+json");
            answer.setHeader("WWW-Authenticate", "Signature realm=\"keyferry\"");
            String reason = refused instanceof Refused ? refused.getMessage() : "internal_error";
            answer.getWriter().print("{\"title\":\"Unauthorized\",\"status\":401,\"reason\":\"" + reason + "\"}");
            return;
        }
        chain.doFilter(request, response);
    }

    private void check(HttpServletRequest request) throws Refused, GeneralSecurityException {
        for (String name : Collections.list(request.getHeaderNames())) {
            String plain = name.toLowerCase(Locale.ROOT);
            refuseIf(!OURS.contains(plain) && OURS.contains(plain.replaceAll("[^a-z0-9]", "-")), "header_disguised");
        }
        refuseIf(OURS.stream().allMatch(name -> name.equals("content-digest") || request.getHeader(name) == null), "signature_missing");
        for (String name : OURS) {
            int found = Collections.list(request.getHeaders(name)).size();
            boolean isOptional = name.equals("x-key-scopes") || name.equals("content-digest");
            refuseIf(found > 1 || found == 0 && !isOptional, "signature_header");
        }
        List<String> hosts = Collections.list(request.getHeaders("host"));
        String path = request.getRequestURI();
        refuseIf(hosts.size() != 1 || !path.startsWith("/"), "request_malformed");

        Map<String, String> lines = new LinkedHashMap<>();
        lines.put("@method", request.getMethod());
        lines.put("@authority", hosts.get(0).toLowerCase(Locale.ROOT).replaceFirst(":(443|80)$", ""));
        lines.put("@path", path);
        lines.put("@query", "?" + (request.getQueryString() == null ? "" : request.getQueryString()));
        COVERED.stream().filter(name -> request.getHeader(name) != null).forEach(name -> lines.put(name, request.getHeader(name)));
        var form = FORM.matcher(request.getHeader("signature-input"));
        String components = lines.keySet().stream().map(name -> '"' + name + '"').collect(Collectors.joining(" "));
        boolean isText = lines.values().stream().allMatch(value -> value.matches("[ -~]*"));
        refuseIf(!form.matches() || !form.group(2).equals(components) || !isText, "signature_malformed");
        byte[] secret = secrets.get(form.group(6));
        refuseIf(secret == null, "signature_key_unknown");
        StringBuilder base = new StringBuilder();
        lines.forEach((name, value) -> base.append('"').append(name).append("\": ").append(value).append('\n'));
        base.append("\"@signature-params\": ").append(form.group(1));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret, "HmacSHA256"));
        String expected = "gw=:" + base64(mac.doFinal(bytes(base.toString()))) + ":";
        refuseIf(!MessageDigest.isEqual(bytes(expected), bytes(request.getHeader("signature"))), "signature_mismatch");

        long created = Long.parseLong(form.group(3)), expires = Long.parseLong(form.group(4)), now = clock.getAsLong();
        boolean isNow = created - SKEW <= now && now <= expires + SKEW;
        refuseIf(!isNow || expires < created || expires - created > LIFETIME, "signature_not_current");
        if (remember > 0) {
            once(form.group(5), expires + SKEW, now);
        }
    }

    private synchronized void once(String nonce, long until, long now) throws Refused {
        var oldest = seen.values().iterator();
        while (oldest.hasNext() && oldest.next() < now) {
            oldest.remove();
        }
        refuseIf(seen.containsKey(nonce), "signature_replayed");
        refuseIf(seen.size() >= remember, "too_many_signatures");
        seen.put(nonce, until);
    }

    /** Whether a body is the one of its Content-Digest. Without a digest, nobody vouches for the body. */
    public static boolean bodyFits(String digest, byte[] body) throws GeneralSecurityException {
        var found = DIGEST.matcher(digest);
        boolean isKnown = false;
        while (found.find()) {
            isKnown = true;
            byte[] made = MessageDigest.getInstance(found.group(1).toUpperCase(Locale.ROOT)).digest(body);
            if (!base64(made).equals(found.group(2))) {
                return false;
            }
        }
        return isKnown;
    }

    private static void refuseIf(boolean is, String reason) throws Refused {
        if (is) {
            throw new Refused(reason);
        }
    }

    private static byte[] bytes(String text) { return text.getBytes(StandardCharsets.ISO_8859_1); }

    private static String base64(byte[] bytes) { return Base64.getEncoder().encodeToString(bytes); }
}
