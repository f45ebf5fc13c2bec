"""Can the store be asked, is what gateways know current, can it be believed, and do all run with the same configuration?"""

from generate import BLUE, GREEN, RED, YELLOW, dashboard, graph, row, stat, table

YES_NO = {1: ("yes", GREEN), 0: ("no", RED)}
ONLY_ZERO = [(None, GREEN), (1, RED)]


def made():
    behind = "max by (namespace, job) (keyferry_store_epoch{$S}) - on (namespace, job) group_right () keyferry_store_epoch{$S}"
    refused = 'rate(keyferry_auth_decisions_total{$S,reason="certificate_revocation_unknown"}[$__rate_interval])'
    return dashboard("store", __doc__, False, "3h", [
        stat("Store answers everybody", "Whether every gateway gets answers. KeyferryStoreUnreachable pages when none does.", "min(keyferry_store_up{$S})", "none", [(None, RED), (1, GREEN)], YES_NO),
        stat("Of store.max_stale, over", "How much of store.max_stale is over, at the gateway where it is most. At 100 % it serves nobody.", "max(keyferry_directory_age_seconds{$S} / keyferry_directory_age_limit_seconds{$S})", "percentunit", [(None, GREEN), (0.2, YELLOW), (0.8, RED)]),
        stat("Changes behind", "How many changes the gateway that knows least is behind the one that knows most.", f"max({behind})", "none", [(None, GREEN), (100, YELLOW)]),
        stat("Revocations upheld", "That the store has lost and gateways make again. Not 0 for longer is KeyferryRevocationsUpheld.", "max(keyferry_tombstones{$S})", "none", ONLY_ZERO),
        stat("Not believed in ten minutes", "Records and events of the store that were refused.", "round(sum(increase(keyferry_store_records_refused_total{$S}[10m])))", "none", ONLY_ZERO),
        stat("Configuration taken over", "Whether every gateway runs with its configuration as it was last read.", "min(keyferry_reload_success{$S})", "none", [(None, RED), (1, GREEN)], YES_NO),

        row("Store"),
        graph("Store answers", "1 while it does.", "none", {"{{instance}}": "keyferry_store_up{$S}"}),
        graph("Age of what is known", "Seconds since the store last confirmed it. Known clients are served up to the limit: docs/RELIABILITY.md.", "s", {"{{instance}}": "keyferry_directory_age_seconds{$S}", "limit": "min(keyferry_directory_age_limit_seconds{$S})"}, colors={"limit": RED}),
        graph("Cannot be checked now", "Requests refused since the store could not be asked about what they showed.", "reqps", {"{{method}}": 'sum by (method) (rate(keyferry_auth_decisions_total{$S,decision="deny",reason="store_unavailable"}[$__rate_interval]))'}),
        graph("The last change that is known", "All gateways follow the same line. A step down is a store that went back.", "none", {"{{instance}}": "keyferry_store_epoch{$S}"}, low=None),
        graph("Changes behind", "Of each gateway, behind the one that knows most. A moment is normal; KeyferryGatewayBehind tells of minutes.", "none", {"{{instance}}": behind}),
        graph("Records in memory", "By kind.", "none", {"{{kind}}": "max by (kind) (keyferry_directory_entries{$S})"}),

        row("Can it be believed?"),
        graph("The store went back, or is empty", "Regressions: changes were lost, as after a failover. Empty: it answers and has nothing.", "none", {"regressions, {{instance}}": "increase(keyferry_store_epoch_regressions_total{$S}[$__rate_interval])", "empty, {{instance}}": "keyferry_store_lost{$S}"}, width=6),
        graph("Revocations upheld", "That the store has lost; gateways make them again.", "none", {"{{instance}}": "keyferry_tombstones{$S}"}, width=6),
        graph("Records that were not believed", "By reason: docs/STORE.md.", "ops", {"{{reason}}": "sum by (reason) (rate(keyferry_store_records_refused_total{$S}[$__rate_interval])) > 0"}, width=6),
        graph("Records by record key", "Counted while there are several, for who replaces one: docs/STORE.md.", "none", {"key {{record_key}}": "max by (record_key) (keyferry_store_records{$S})"}, stack=True, width=6),

        row("Revocation lists"),
        graph("Lists are in order", "1 while all lists of the authority are in order, and there is one.", "none", {"{{ca}}": "min by (ca) (keyferry_crl_usable{$S})"}),
        graph("Lists by state", "docs/CERTIFICATES.md explains each state.", "none", {"{{ca}} {{state}}": "max by (ca, state) (keyferry_crl_lists{$S}) > 0"}),
        graph("Entries of lists", "What was revoked by lists.", "none", {"{{ca}}": "max by (ca) (keyferry_crl_entries{$S})"}),
        table("When lists end", "How long until the first list of each authority ends. KeyferryRevocationListEndsSoon fires at four hours.", "sort(min by (ca) (keyferry_crl_next_update_timestamp_seconds{$S} > 0) - time())", "s", {"ca": "Authority", "Value": "Ends in"}, [(None, RED), (4 * 3600, YELLOW), (86400, GREEN)], width=8),
        graph("Nobody can tell whether it is revoked", "Requests by such certificates: refused, or accepted by when_unknown = \"accept\".", "reqps", {"refused": f"sum({refused})", "accepted, {{ca}}": "sum by (ca) (rate(keyferry_revocation_unknown_accepted_total{$S}[$__rate_interval]))"}, width=16),

        row("Configuration"),
        table("When it was taken over", "The gateways, and when they last took a configuration over.", "keyferry_reload_timestamp_seconds{$S} * 1000", "dateTimeFromNow", {"instance": "Gateway", "Value": "Taken over"}, [(None, BLUE)], width=8),
        table("Secrets", "Of each secret, how many gateways know it, as used or accepted: docs/RELOAD.md says how to rotate.", "count by (kind, name) (keyferry_secret_current{$S})", "none", {"kind": "Kind", "name": "Name", "Value": "Gateways"}, [(None, BLUE)], width=8),
        table("Versions", "How many gateways run which version.", "count by (version) (keyferry_build_info{$S})", "none", {"version": "Version", "Value": "Gateways"}, [(None, BLUE)], width=8),
        graph("Gateways that stop", "1 once a gateway was asked to. KeyferryDrainTooLong tells of one that stays.", "none", {"{{instance}}": "keyferry_draining{$S}"}),
        graph("Taken over", "0 while a configuration is wrong: `keyferry reload` says why.", "none", {"{{instance}}": "keyferry_reload_success{$S}"}),
        graph("Secrets in use", "Of each secret, how many gateways use it now. It should be none or all.", "none", {"{{kind}} {{name}}": "sum by (kind, name) (keyferry_secret_current{$S})"}),
    ])  # fmt: skip
