"""Is everybody served, how fast, who is refused, and how much more can be taken?"""

from generate import BLUE, GREEN, GREY, RED, YELLOW, dashboard, graph, requests, row, share, stat, table

OUTCOMES = {"allow": GREEN, "deny": YELLOW, "error": RED}


def quantile(q, metric, selector, by):
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"


def made():
    duration, route = "keyferry_request_duration_seconds", '$S,route=~"$route"'
    upstream = "keyferry_upstream_duration_seconds"
    failed, allowed = ',outcome="error"', ',outcome="allow",auth!="none"'
    still = share(allowed + ',auth=~"certificate|both"', allowed)
    process = " and on (namespace, job, instance) keyferry_build_info{$S}"
    return dashboard("gateway", __doc__, True, "3h", [
        stat("Requests that did not fail", "All but those that failed here or at a backend. A refusal is no failure. The alert KeyferryErrorsHigh pages below 98 %.", "1 - " + share(failed), "percentunit", [(None, RED), (0.98, YELLOW), (0.995, GREEN)]),
        stat("Requests a second", "All of them, whatever became of them.", requests(), "reqps", [(None, BLUE)]),
        stat("99 % are done within", "From a request's head to its answer's end, backend included.", quantile(0.99, duration, route, "le"), "s", [(None, GREEN), (1, YELLOW), (5, RED)]),
        stat("Still by certificate", "Of the requests with a credential that were let through, those that came with a certificate. The dashboard Migration tells more.", still, "percentunit", [(None, GREEN), (0.001, BLUE)]),
        stat("Refused a second", "Refusals for whatever reason; below is for which.", 'sum(rate(keyferry_auth_decisions_total{$S,decision="deny"}[$__rate_interval]))', "reqps", [(None, BLUE)]),
        stat("Gateways", "How many answer Prometheus.", "count(keyferry_build_info{$S}) or vector(0)", "none", [(None, RED), (1, YELLOW), (2, GREEN)]),

        row("Requests"),
        graph("Requests by outcome", "allow: forwarded, or answered by self-service. deny: refused. error: failed here or at a backend.", "reqps", {"{{outcome}}": requests("outcome")}, stack=True, colors=OUTCOMES),
        graph("Failed share by route", "The share of a route's requests that failed. The line is where KeyferryErrorsHigh pages.", "percentunit", {"{{route}}": share(failed, by="route")}, limits=[(None, GREEN), (0.02, RED)]),
        graph("Duration", "Half, nine in ten, and 99 in a hundred requests are done within this time.", "s", {name: quantile(q, duration, route, "le") for name, q in (("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99))}),
        graph("Requests by route", "The route “keyferry” is what the gateway answers by itself: self-service, and what no route serves.", "reqps", {"{{route}}": requests("route")}, stack=True),
        graph("Duration by route, 99 %", "99 in a hundred requests of a route are done within this time.", "s", {"{{route}}": quantile(0.99, duration, route, "le, route")}),
        graph("Requests by credential", "What requests came with.", "reqps", {"{{auth}}": requests("auth")}, stack=True, colors={"certificate": YELLOW, "both": BLUE, "key": GREEN, "none": GREY}),

        row("Refusals"),
        graph("Refusals by reason", "docs/PROBLEMS.md explains every reason.", "reqps", {"{{reason}}": 'sum by (reason) (rate(keyferry_auth_decisions_total{$S,decision="deny"}[$__rate_interval]))'}, stack=True),
        graph("Certificates that were not accepted", "By their gravest problem; docs/CERTIFICATES.md explains each.", "reqps", {"{{reason}}": "sum by (reason) (rate(keyferry_certificate_problems_total{$S}[$__rate_interval])) > 0"}, stack=True),
        graph("What would be refused", "While a gateway only observes (docs/OBSERVE.md): what it would refuse. Nothing otherwise.", "reqps", {"{{reason}}": 'sum by (reason) (rate(keyferry_auth_decisions_total{$S,decision="would_deny"}[$__rate_interval]))', "gateways that observe": "sum(keyferry_observing{$S})"}),

        row("Handshakes and connections"),
        graph("TLS handshakes", "By version, and those that failed.", "ops", {"{{result}} {{version}}": "sum by (result, version) (rate(keyferry_tls_handshakes_total{$S}[$__rate_interval]))"}, stack=True),
        graph("Handshakes that failed", "By reason; `keyferry failures` names the addresses, docs/TROUBLESHOOTING.md tells what to do.", "ops", {"{{reason}}": "sum by (reason) (rate(keyferry_tls_handshake_failures_total{$S}[$__rate_interval])) > 0"}, stack=True),
        graph("Connections", "Open, and pending while their handshake is under way.", "none", {"{{state}}": "sum by (state) (keyferry_connections{$S})"}),
        graph("Connections that the gateway ended", "Before their client did, and why: docs/CONNECTIONS.md; with HTTP/2 also docs/HTTP.md.", "ops", {"{{reason}}": "sum by (reason) (rate(keyferry_connections_closed_total{$S}[$__rate_interval])) > 0", "HTTP/2: {{reason}}": "sum by (reason) (rate(keyferry_http2_closed_total{$S}[$__rate_interval])) > 0"}),
        graph("Requests through fronts", "What proxies in front forwarded; of a front that asks, its questions. `not_authenticated` is somebody at a front's address who does not prove to be the front: docs/FRONTS.md.", "reqps", {"{{front}} {{result}}": "sum by (front, result) (rate(keyferry_front_requests_total{$S}[$__rate_interval]))"}),
        table("The certificates that clients see", "How long the listener's certificates are still good, the first that ends on top. KeyferryServerCertificateEndsSoon fires at 14 days.", "sort(min by (server_name) (keyferry_tls_certificate_not_after_timestamp_seconds{$S}) - time())", "s", {"server_name": "Name", "Value": "Ends in"}, [(None, RED), (3 * 86400, YELLOW), (14 * 86400, GREEN)], width=8),

        row("Backends"),
        graph("Answers of backends", "Heads of answers that came.", "reqps", {"{{backend}}": f"sum by (backend) (rate({upstream}_count{{$S}}[$__rate_interval]))"}, stack=True),
        graph("Time to an answer, 99 %", "From sending a request to a backend to the head of its answer. The line is where KeyferryBackendSlow fires.", "s", {"{{backend}}": quantile(0.99, upstream, "$S", "le, backend")}, limits=[(None, GREEN), (1, RED)]),
        graph("Attempts without an answer", "Connecting failed, or the backend did not answer. The gateway may have tried again.", "ops", {"{{backend}}": "sum by (backend) (rate(keyferry_upstream_failures_total{$S}[$__rate_interval]))"}),

        row("Load and limits"),
        graph("Use of limits", "How much of what all clients may have together is taken, at the gateway where it is most. The line is where KeyferryNearLimit fires.", "percentunit", {
            "connections": 'max(keyferry_connections{$S,state="open"} / ignoring (state, limit) keyferry_limit{$S,limit="connections"})',
            "pending": 'max(keyferry_connections{$S,state="pending"} / ignoring (state, limit) keyferry_limit{$S,limit="pending"})',
            "requests_at_once": 'max(keyferry_requests_under_way{$S} / ignoring (limit) keyferry_limit{$S,limit="requests_at_once"})',
        }, limits=[(None, GREEN), (0.8, RED)]),
        graph("Too many", "Connections and requests that were turned away, by the limit that they met: docs/LIMITS.md.", "ops", {"{{limit}}": "sum by (limit) (rate(keyferry_requests_limited_total{$S}[$__rate_interval])) > 0", "{{reason}}": "sum by (reason) (rate(keyferry_connections_rejected_total{$S}[$__rate_interval])) > 0"}),
        graph("Requests to the admin listener", "By the role of the token, `none` where none was shown that is known, and what became of them: docs/API.md. Many that are unauthenticated are somebody who guesses.", "ops", {"{{role}} {{outcome}}": "sum by (role, outcome) (rate(keyferry_admin_requests_total{$S}[$__rate_interval])) > 0"}),
        graph("Requests under way", "Whose answer is not complete. Gateways that were asked to stop finish theirs.", "none", {"{{instance}}": "keyferry_requests_under_way{$S}", "{{instance}} stops": "keyferry_draining{$S} > 0"}),
        graph("Processor", "Seconds of processor time a second: 1 is one core.", "none", {"{{instance}}": "rate(process_cpu_seconds_total{$S}[$__rate_interval])" + process}, width=6),
        graph("Memory", "What is resident.", "bytes", {"{{instance}}": "process_resident_memory_bytes{$S}" + process}, width=6),
        graph("Open files", "Files and sockets, of those that the system allows. The line is where KeyferryFilesNearLimit fires.", "percentunit", {"{{instance}}": "process_open_fds{$S} / process_max_fds{$S}" + process}, limits=[(None, GREEN), (0.8, RED)], width=6),
        graph("Clients whose budget is shared", "Clients whose requests per second this gateway divides with others (limits.requests_per_second).", "none", {"{{instance}}": "keyferry_budgets_shared{$S}"}, width=6),
    ])  # fmt: skip
