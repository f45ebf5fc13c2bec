//! What is found in each file.

/// A format, its file, what is found in it, and which certificates are whose then.
pub(super) type Sample = (
    &'static str,
    &'static str,
    bool,
    &'static [(&'static str, u64)],
    &'static [(&'static str, &'static str)],
);

pub(super) const SAMPLES: [Sample; 13] = [
    (
        "nginx",
        "nginx-map.conf",
        false,
        &[
            ("clients", 3),
            ("new_clients", 3),
            ("certificates", 2),
            ("by_sha1", 1),
            ("duplicates", 1),
            ("denied", 1),
        ],
        &[
            ("nginx-acme", "nginx-acme"),
            ("nginx-bravo", "nginx-bravo"),
            ("nginx-carol", "nginx-carol"),
        ],
    ),
    (
        "nginx",
        "nginx.conf",
        true,
        &[
            ("clients", 3),
            ("new_clients", 3),
            ("certificates", 3),
            ("denied", 2),
        ],
        &[
            ("ngx-dora", "ngx-dora"),
            ("ngx-emil", "ngx-emil"),
            ("ngx-fred", "ngx-fred"),
        ],
    ),
    (
        "haproxy-map",
        "haproxy.map",
        false,
        &[
            ("clients", 2),
            ("new_clients", 2),
            ("by_sha1", 2),
            ("duplicates", 1),
        ],
        &[
            ("haproxy-acme", "haproxy-acme"),
            ("haproxy-bravo", "haproxy-bravo"),
        ],
    ),
    (
        "haproxy-acl",
        "haproxy.acl",
        true,
        &[("clients", 2), ("new_clients", 2), ("certificates", 2)],
        &[("acl-acme", "acl-acme"), ("acl-bravo", "cert-")],
    ),
    (
        "apache",
        "apache.conf",
        true,
        &[("clients", 3), ("new_clients", 3), ("certificates", 3)],
        &[
            ("apache-acme", "apache-acme"),
            ("apache-carol", "apache-carol"),
        ],
    ),
    (
        "apache-map",
        "apache.map",
        true,
        &[("clients", 2), ("new_clients", 2), ("certificates", 2)],
        &[("amap-acme", "amap-acme"), ("amap-bravo", "amap-bravo")],
    ),
    (
        "apache-users",
        "apache.users",
        true,
        &[("clients", 1), ("new_clients", 1), ("certificates", 1)],
        &[("users-acme", "users-acme")],
    ),
    (
        "ingress-nginx",
        "ingress.yaml",
        true,
        &[("clients", 2), ("new_clients", 2), ("certificates", 2)],
        &[
            ("ingress-acme", "ingress-acme"),
            ("ingress-bravo", "ingress-bravo"),
        ],
    ),
    (
        "envoy",
        "envoy.yaml",
        false,
        &[("clients", 2), ("new_clients", 2), ("keys_to_issue", 2)],
        &[],
    ),
    (
        "kong",
        "kong.yaml",
        true,
        &[
            ("clients", 2),
            ("new_clients", 2),
            ("certificates", 1),
            ("keys_to_issue", 1),
        ],
        &[("kong-bravo", "kong-bravo")],
    ),
    (
        "tyk",
        "tyk.json",
        false,
        &[
            ("clients", 2),
            ("new_clients", 2),
            ("certificates", 1),
            ("keys_to_issue", 1),
            ("denied", 5),
        ],
        &[("tyk-acme", "tyk-acme")],
    ),
    (
        "apisix",
        "apisix.json",
        false,
        &[("clients", 2), ("new_clients", 2), ("keys_to_issue", 1)],
        &[],
    ),
    (
        "csv",
        "clients.csv",
        true,
        &[("clients", 4), ("new_clients", 4), ("certificates", 4)],
        &[
            ("csv-acme", "csv-acme"),
            ("csv-bravo", "csv-bravo"),
            ("csv-carol", "csv-carol"),
            ("csv-dora", "csv-dora"),
        ],
    ),
];

/// Certificates that samples name by a subject, a common name or a serial number.
pub(super) const DESCRIBED: [&str; 15] = [
    "ngx-dora",
    "ngx-emil",
    "ngx-fred",
    "acl-acme",
    "apache-acme",
    "apache-bravo",
    "apache-carol",
    "amap-acme",
    "amap-bravo",
    "users-acme",
    "ingress-acme",
    "ingress-bravo",
    "kong-bravo",
    "csv-bravo",
    "csv-dora",
];

/// What of each malformed file is not taken over.
pub(super) const MALFORMED: [(&str, &str, &[&str]); 13] = [
    (
        "nginx",
        "nginx.conf",
        &[
            "two_clients",
            "two_clients",
            "everybody",
            "pattern",
            "pattern",
            "include",
            "anonymous",
            "syntax",
            "computed",
            "syntax",
        ],
    ),
    (
        "haproxy-map",
        "haproxy-map.map",
        &["syntax", "pattern", "two_clients", "two_clients"],
    ),
    ("haproxy-acl", "haproxy-acl.acl", &["pattern", "described"]),
    (
        "apache",
        "apache.conf",
        &[
            "authority",
            "unverified",
            "pattern",
            "syntax",
            "syntax",
            "syntax",
        ],
    ),
    ("apache-map", "apache-map.map", &["syntax", "pattern"]),
    ("apache-users", "apache-users.users", &["syntax"]),
    (
        "ingress-nginx",
        "ingress-nginx.yaml",
        &["authority", "pattern"],
    ),
    ("envoy", "envoy.yaml", &["nameless", "name"]),
    ("kong", "kong.yaml", &["nameless", "fallback"]),
    ("tyk", "tyk.json", &["syntax", "nameless"]),
    ("apisix", "apisix.yaml", &["file"]),
    ("csv", "csv.csv", &["syntax", "one_id", "one_id", "syntax"]),
    ("pem", "pem.pem", &["not_a_certificate"]),
];
