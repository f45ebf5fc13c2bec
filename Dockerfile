# syntax=docker/dockerfile:1
# The gateway in an image without a shell: one program, its three system libraries, user 65532, nothing that is written.
#
#   docker build --tag keyferry:0.1.0 --build-arg SOURCE_DATE_EPOCH="$(git log -1 --pretty=%ct)" \
#     --build-arg REVISION="$(git rev-parse HEAD)" .
#
# docs/KUBERNETES.md says how its bill of materials is read, and what of this file was tried how.
# Pin both bases by digest where images are built for production: a tag can be moved.
ARG BUILDER=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build
# The TLS library: "openssl", or "boringssl" (docs/BORINGSSL.md).
ARG TLS=openssl
# It is compiled from source (cc, perl; c++, libclang), zlib-ng too (cmake). Debian's newest of each, for what is only
# built with.
# hadolint ignore=DL3008
RUN --mount=type=bind,source=tests/support/install.sh,target=/install.sh \
    if [ "${TLS}" = boringssl ]; then bash /install.sh build boring; else bash /install.sh build; fi
# Writes the list of dependencies into the program, for scanners.
RUN cargo install --locked --version 0.7.7 cargo-auditable
# No path of the builder in the program: the same sources give the same bytes.
ENV RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo=cargo" \
    CFLAGS="-ffile-prefix-map=/build=." \
    CARGO_INCREMENTAL=0

# "otlp" for spans to a collector (docs/TRACING.md).
ARG FEATURES=""

# The dependencies alone, by what names them: a layer that stays until one of these changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/compare \
    && echo 'fn main() {}' | tee src/main.rs benches/core.rs benches/directory.rs benches/revocation.rs \
      > benches/compare/tool.rs \
    && touch src/lib.rs \
    # OpenSSL notes when it was compiled.
    && SOURCE_DATE_EPOCH=0 cargo auditable build --locked --release --bin keyferry --no-default-features --features "${TLS} ${FEATURES}" \
    && rm -r src

COPY src ./src
COPY docs/PROBLEMS.md ./docs/
COPY conf/keyferry.toml ./conf/
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
# What was compiled of the stand-ins is older than what stands in their place now.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo auditable build --locked --release --bin keyferry --no-default-features --features "${TLS} ${FEATURES}" \
    && objcopy --strip-debug target/release/keyferry /keyferry \
    && install -d -o 65532 -g 65532 -m 0750 /state \
    && touch --date="@${SOURCE_DATE_EPOCH}" /keyferry /state

FROM ${RUNTIME}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="keyferry" \
      org.opencontainers.image.description="A gateway that carries the clients of an API from TLS client certificates to API keys, each at its own pace" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /keyferry /keyferry
# For the snapshot, or the embedded store: a volume belongs there.
COPY --from=build --chown=65532:65532 /state /var/lib/keyferry
COPY LICENSE /LICENSE
ENV KEYFERRY_CONFIG=/etc/keyferry/config/keyferry.toml
USER 65532:65532
EXPOSE 8443 9090
STOPSIGNAL SIGTERM
# Kubernetes asks by HTTP instead. The start period is longer than a million clients take to load.
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s --retries=3 CMD ["/keyferry", "health"]
ENTRYPOINT ["/keyferry"]
CMD ["run"]
