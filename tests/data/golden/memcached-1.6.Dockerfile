# memcached:1.6. Written by `release spec render` from images/memcached; change the spec, not this file.
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

# The user, and 16 Debian packages.
FROM os AS image
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-memcached-1.6,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    --mount=type=bind,source=recipes/account.sh,target=/mnt/account.sh \
    sh /mnt/account.sh memcache 42403 /var/lib/memcached && \
    sh /mnt/system.sh packages /mnt/debs
ADD --link files/memcached-1.6.tar /
LABEL dev.stackway.series="1.6"
LABEL org.opencontainers.image.description="Cache of tokens and of other answers that cost time"
LABEL org.opencontainers.image.licenses="BSD-3-Clause"
LABEL org.opencontainers.image.title="memcached"
LABEL org.opencontainers.image.version="1.6.38"
EXPOSE 11211
WORKDIR /var/lib/memcached
USER 42403:42403
CMD ["memcached", "--memory-limit=128", "--conn-limit=4096", "--threads=2", "--udp-port=0", "--port=11211"]

# What the image has to prove before it gets into the store; no layer of the image. A failed check is told in the report,
# so that it stops no other image of the same build.
FROM image AS smoke
RUN --network=none \
    --mount=type=bind,source=smoke/memcached-1.6/check.sh,target=/mnt/check.sh \
    sh /mnt/check.sh >/tmp/report 2>&1; echo "exit code $?" >>/tmp/report

FROM scratch AS report
COPY --from=smoke /tmp/report /report
