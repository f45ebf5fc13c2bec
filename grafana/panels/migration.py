"""How far is the move from certificates to keys, when is it done, and who would be left behind?"""

from generate import BLUE, GREEN, GREY, RED, YELLOW, dashboard, graph, requests, row, share, stat

# Every gateway counts all clients: the most that one counts, not the sum.
CLIENTS = "max by (namespace, job, stage) (keyferry_clients{$S})"
STAGES = {
    "registered": GREY,
    "cert-only": RED,
    "key-issued": YELLOW,
    "dual": BLUE,
    "key-only": GREEN,
    "retired": "#505050",
}
AUTH = {"certificate": RED, "both": BLUE, "key": GREEN}


def made():
    remaining = 'sum(max by (namespace, job, stage) (keyferry_clients{$S,stage=~"cert-only|key-issued|dual"}))'
    allowed = ',outcome="allow",auth!="none"'
    by_certificate = allowed + ',auth=~"certificate|both"'
    own = ',route!="keyferry"'
    pace = "-deriv(job:keyferry_clients_remaining:sum{$S}[14d])"
    ending = 'sum(max by (namespace, job) (keyferry_clients_expiring{$S,kind="cert",window="30d"}))'
    denied = 'rate(keyferry_auth_decisions_total{$S,decision="deny",reason=~"brownout|certificate_retired"}[$__rate_interval])'
    return dashboard("migration", __doc__, True, "30d", [
        stat("Clients left", "Clients that used a certificate within migration.window: cert-only, key-issued and dual.", remaining, "none", [(None, GREEN), (1, BLUE)]),
        stat("Moved", "Of the clients that call at all, those that call by key alone.", f'sum(max by (namespace, job, stage) (keyferry_clients{{$S,stage="key-only"}})) / (sum(max by (namespace, job, stage) (keyferry_clients{{$S,stage!~"registered|retired"}})) > 0)', "percentunit", [(None, BLUE), (1, GREEN)]),
        stat("To go, at this pace", "By the last 14 days; no value while there are not fewer. `keyferry status` gives a range. Needs the recording rules.", f"sum(job:keyferry_clients_remaining:sum{{$S}}) / (sum({pace}) > 0)", "s", [(None, BLUE)]),
        stat("Requests by certificate", "Of the requests with a credential that were let through. A few busy clients hide in the number of clients, and many quiet ones here: look at both.", share(by_certificate, allowed), "percentunit", [(None, GREEN), (0.001, BLUE)]),
        stat("End within 30 days", "Clients that depend on certificates of which the last ends within 30 days: whom to call first. `keyferry client list --flag expiring` names them.", ending, "none", [(None, GREEN), (1, RED)]),
        stat("Refused on purpose", "Refusals a second by a brownout or since a client is retired.", f"sum({denied}) or vector(0)", "reqps", [(None, BLUE)]),

        row("Clients"),
        graph("Burndown", "Clients by stage. The move is done when only “key-only” and “retired” are left.", "none", {"{{stage}}": f"sum by (stage) ({CLIENTS})"}, stack=True, colors=STAGES, width=16, height=10),
        graph("Who depends on what ends", "Clients whose last certificate (while they depend on it) or last key ends within the window, each including the ones before.", "none", {"{{kind}} {{window}}": "max by (kind, window) (keyferry_clients_expiring{$S})"}, height=10),
        graph("Clients a day", "How many fewer clients are left than a day before; less than nothing when there are more. Needs the recording rules.", "none", {"moved": "sum(-deriv(job:keyferry_clients_remaining:sum{$S}[1d])) * 86400"}, low=None),
        graph("Keys", "Keys that can be used, by the pepper of their digest.", "none", {"pepper {{pepper}}": "max by (pepper) (keyferry_keys{$S})"}, stack=True),
        graph("New certificates of known clients", "By what they were recognised, and what became of them: docs/CERTIFICATES.md. What is pending waits for you: `keyferry certificate list --pending`.", "ops", {"{{rung}} {{outcome}}": "sum by (rung, outcome) (rate(keyferry_renewals_total{$S}[$__rate_interval])) > 0"}),

        row("Traffic"),
        graph("Requests by credential", "Those that were let through.", "reqps", {"{{auth}}": requests("auth", allowed)}, stack=True, colors=AUTH),
        graph("Share by certificate, by route", "A route at 0 can be set to accept = \"key\".", "percentunit", {"{{route}}": share(by_certificate + own, allowed + own, "route")}),
        graph("Self-service", "Requests to whoami, key and the like: clients that help themselves.", "reqps", {"{{auth}} {{outcome}}": 'sum by (auth, outcome) (rate(keyferry_requests_total{$S,route="keyferry"}[$__rate_interval])) > 0'}),

        row("What stands in the way"),
        graph("Refused on purpose", "By brownouts, and since clients are retired. `keyferry phase list` tells which.", "reqps", {"{{reason}}": f"sum by (reason) ({denied})"}, width=6),
        graph("Keys that were refused", "Clients that have a key and do it wrong.", "reqps", {"{{reason}}": 'sum by (reason) (rate(keyferry_auth_decisions_total{$S,decision="deny",method="key"}[$__rate_interval]))'}, width=6),
        graph("Certificates that were refused", "Clients that cannot even fetch their key.", "reqps", {"{{reason}}": 'sum by (reason) (rate(keyferry_auth_decisions_total{$S,decision="deny",method="certificate",reason!~"brownout|certificate_retired"}[$__rate_interval]))'}, width=6),
        graph("Brownouts whose budget is spent", "While the store is away and cannot be told to stop them; they refuse nobody there.", "none", {"{{instance}}": "keyferry_brownouts_spent{$S}"}, width=6),
        graph("Webhooks", "Messages that were taken and that were not, a second; and how many wait or are dead (docs/WEBHOOKS.md). Nothing where nobody is told.", "none", {"{{webhook}} {{result}}": "sum by (webhook, result) (rate(keyferry_webhook_deliveries_total{$S}[$__rate_interval]))", "{{webhook}} waiting": "max by (webhook) (keyferry_webhook_waiting{$S})", "{{webhook}} dead": "max by (webhook) (keyferry_webhook_dead{$S})"}),
        graph("Requests that need an old proxy's headers", "To backends with `masquerade`: “recorded” is the debt, clients by key for whom their certificate still stands; “incomplete” went without one of the headers or more, “unknown” without them all (docs/MASQUERADE.md). Nothing where no backend asks for them.", "reqps", {"{{backend}} {{certificate}}": "sum by (backend, certificate) (rate(keyferry_masqueraded_requests_total{$S}[$__rate_interval]))"}),
    ])  # fmt: skip
