# mariadb:11.8. Written by `release spec render` from images/mariadb; change the spec, not this file.
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

# The user, and 20 Debian packages.
FROM os AS image
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-mariadb-11.8,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    --mount=type=bind,source=recipes/account.sh,target=/mnt/account.sh \
    sh /mnt/account.sh mysql 42401 /var/lib/mysql && \
    sh /mnt/system.sh packages /mnt/debs
ADD --link files/mariadb-11.8.tar /
LABEL dev.stackway.series="11.8"
LABEL org.opencontainers.image.description="Database of the control plane"
LABEL org.opencontainers.image.licenses="GPL-2.0-only"
LABEL org.opencontainers.image.title="mariadb"
LABEL org.opencontainers.image.version="11.8.6"
EXPOSE 3306
WORKDIR /var/lib/mysql
USER 42401:42401
CMD ["/usr/local/bin/mariadb-start"]

# What the image has to prove before it gets into the store; no layer of the image. A failed check is told in the report,
# so that it stops no other image of the same build.
FROM image AS smoke
RUN --network=none \
    --mount=type=bind,source=smoke/mariadb-11.8/files/etc/mariadb/my.cnf,target=/etc/mariadb/my.cnf \
    --mount=type=bind,source=smoke/mariadb-11.8/check.sh,target=/mnt/check.sh \
    sh /mnt/check.sh >/tmp/report 2>&1; echo "exit code $?" >>/tmp/report

FROM scratch AS report
COPY --from=smoke /tmp/report /report
