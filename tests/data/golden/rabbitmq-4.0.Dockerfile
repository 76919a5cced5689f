# rabbitmq:4.0. Written by `release spec render` from images/rabbitmq; change the spec, not this file.
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

# The user, and 43 Debian packages.
FROM os AS image
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-rabbitmq-4.0,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    --mount=type=bind,source=recipes/account.sh,target=/mnt/account.sh \
    sh /mnt/account.sh rabbitmq 42402 /var/lib/rabbitmq && \
    sh /mnt/system.sh packages /mnt/debs
ADD --link files/rabbitmq-4.0.tar /
ENV ERL_EPMD_ADDRESS="127.0.0.1"
ENV HOME="/var/lib/rabbitmq"
ENV RABBITMQ_CONFIG_FILE="/etc/rabbitmq/rabbitmq.conf"
ENV RABBITMQ_ENABLED_PLUGINS_FILE="/etc/stackway/rabbitmq/enabled_plugins"
ENV RABBITMQ_LOGS="-"
ENV RABBITMQ_NODENAME="rabbit@localhost"
ENV RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
LABEL dev.stackway.series="4.0"
LABEL org.opencontainers.image.description="Message broker of the control plane"
LABEL org.opencontainers.image.licenses="MPL-2.0"
LABEL org.opencontainers.image.title="rabbitmq"
LABEL org.opencontainers.image.version="4.0.5"
EXPOSE 5672
EXPOSE 15692
WORKDIR /var/lib/rabbitmq
USER 42402:42402
CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

# What the image has to prove before it gets into the store; no layer of the image. A failed check is told in the report,
# so that it stops no other image of the same build.
FROM image AS smoke
RUN --network=none \
    --mount=type=bind,source=smoke/rabbitmq-4.0/files/etc/rabbitmq/rabbitmq.conf,target=/etc/rabbitmq/rabbitmq.conf \
    --mount=type=bind,source=smoke/rabbitmq-4.0/check.sh,target=/mnt/check.sh \
    sh /mnt/check.sh >/tmp/report 2>&1; echo "exit code $?" >>/tmp/report

FROM scratch AS report
COPY --from=smoke /tmp/report /report
