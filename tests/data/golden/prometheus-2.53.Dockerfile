# prometheus:2.53. Written by `release spec render` from images/prometheus; change the spec, not this file.
# Everything is installed from files: no step has a network. `debs-…`, `packages-…`, `tools` and `bootstrap` are named contexts.

# The operating system: 60 Debian packages and no apt.
FROM bootstrap:trixie AS bootstrap
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-trixie-os,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    sh /mnt/system.sh bootstrap /mnt/debs

FROM scratch AS os
# The finished system as one layer, without what bootstrapping it left below.
# hadolint ignore=DL3067
COPY --from=bootstrap / /
ENV LANG="C.UTF-8" PATH="/usr/sbin:/usr/bin:/sbin:/bin"

# The user, and 22 Debian packages.
FROM os AS image
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-prometheus-2.53,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    --mount=type=bind,source=recipes/account.sh,target=/mnt/account.sh \
    sh /mnt/account.sh metrics 42404 /var/lib/prometheus && \
    sh /mnt/system.sh packages /mnt/debs
ADD --link files/prometheus-2.53.tar /
LABEL dev.stackway.series="2.53"
LABEL org.opencontainers.image.description="Keeps the control plane's metrics for two days and raises alerts"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.title="prometheus"
LABEL org.opencontainers.image.version="2.53.3"
EXPOSE 9090
WORKDIR /var/lib/prometheus
USER 42404:42404
CMD ["prometheus", "--config.file=/etc/stackway/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus", "--storage.tsdb.retention.time=2d", "--storage.tsdb.retention.size=500MB", "--web.listen-address=:9090"]

# What the image has to prove before it gets into the store; no layer of the image. A failed check is told in the report,
# so that it stops no other image of the same build.
FROM image AS smoke
RUN --network=none \
    --mount=type=bind,source=smoke/prometheus-2.53/files/etc/stackway/prometheus/prometheus.yml,target=/etc/stackway/prometheus/prometheus.yml \
    --mount=type=bind,source=smoke/prometheus-2.53/check.sh,target=/mnt/check.sh \
    sh /mnt/check.sh >/tmp/report 2>&1; echo "exit code $?" >>/tmp/report

FROM scratch AS report
COPY --from=smoke /tmp/report /report
