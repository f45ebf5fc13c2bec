"""What servers do with a request before any verifier sees it, so that it cannot refuse, or gets nothing to believe. Each
entry is held: the application must see the identity that was signed, or the server must refuse the request itself."""

FOLDED = {
    name: "leaves out headers with '_' in their names"
    for name in (
        "X_Client_Id beside", "X_Client_Id before", "X-Client_Id beside", "X_Key_Id beside", "X_Key_Scopes beside",
        "Signature_Input beside", "Content_Digest beside", "scopes under the name X_Key_Scopes",
        "a digest under the name Content_Digest",
    )
}
LAST = {
    f"{which.format(name)}": "takes the last of two headers for the only one"
    for name in ("X-Key-Id", "X-Client-Id", "X-Key-Scopes", "Content-Digest", "Signature-Input", "Signature")
    for which in ("{} twice", "another {} before it")
}

FRAGMENT = {"a fragment after the query": "leaves out what follows '#', before the application as well"}
ABSOLUTE = {
    "an absolute target of another host": "leaves out its host, before the application as well: Host counts, which was signed",
}

HABITS = {
    "bare": {"a method in lower case": "refuses it"},
    "gunicorn": FOLDED,
    "waitress": FOLDED,
    "rust": FRAGMENT,
    "uvicorn-httptools": FRAGMENT | ABSOLUTE,
    "puma": {name: what for name, what in FOLDED.items() if " under " not in name} | FRAGMENT | {
        "X_Client_Id in its place": "takes X_Client_Id for X-Client-Id; its value is the one that was signed",
    },
    "php": {"with another client in a trailer": "takes trailers for headers, which do not fit then"},
    "php-fpm": FOLDED | LAST | {
        "X.Client.Id beside": "leaves out headers with '.' in their names",
        **ABSOLUTE,
    },
    "mono": LAST | {
        "the host twice": "takes the last of two headers for the only one",
        "with an IPv6 address as host": "refuses it",
    },
}
