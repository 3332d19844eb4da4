# syntax=docker/dockerfile:1
# The image of Weir: one binary on a distroless base, not root, with its own health check.
#
#   docker build -t weir .
#   docker run -p 8080:8080 -v ./etc-weir:/etc/weir:ro weir
#
# tests/dockerfile.sh walks these steps where there is no Docker engine.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# The registry and the target folder are cache mounts: a change of the source compiles the source alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --bin weir \
    && install -D target/dist/weir /image/weir \
    && install -d /image/var/lib/weir /image/etc/weir

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="An edge traffic-splitting reverse proxy with progressive delivery built in" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
ENV WEIR_DATA_DIR=/var/lib/weir
VOLUME ["/var/lib/weir"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s --start-period=5s --retries=3 CMD ["/weir", "healthcheck"]
ENTRYPOINT ["/weir"]
CMD ["run", "--config", "/etc/weir/weir.yaml"]
