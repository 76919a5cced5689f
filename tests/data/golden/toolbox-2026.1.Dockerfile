# toolbox:2026.1. Written by `release spec render` from images/toolbox; change the spec, not this file.
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

# Python 3.13, 16 packages, and the user.
FROM os AS interpreter
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-trixie-interpreter,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    --mount=type=bind,source=recipes/account.sh,target=/mnt/account.sh \
    --mount=type=bind,source=recipes/interpreter.sh,target=/mnt/interpreter.sh \
    sh /mnt/account.sh openstack 42400 /var/lib/openstack && \
    sh /mnt/system.sh packages /mnt/debs && \
    sh /mnt/interpreter.sh /opt/venv

# 34 Python distributions that images of 2026.1 share.
FROM interpreter AS python-common
RUN --network=none \
    --mount=type=bind,from=packages-2026.1-common,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 3 Python distributions that images of 2026.1 share.
FROM interpreter AS python-without-placement
RUN --network=none \
    --mount=type=bind,from=packages-2026.1-without-placement,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 12 Python distributions that images of 2026.1 share.
FROM interpreter AS python-without-keystone-placement
RUN --network=none \
    --mount=type=bind,from=packages-2026.1-without-keystone-placement,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 3 Python distributions that images of 2026.1 share.
FROM interpreter AS python-glance-neutron-nova-toolbox
RUN --network=none \
    --mount=type=bind,from=packages-2026.1-glance-neutron-nova-toolbox,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 4 Python distributions of its own.
FROM interpreter AS python-own
RUN --network=none \
    --mount=type=bind,from=packages-toolbox-2026.1-own,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

FROM interpreter AS image
COPY --link --from=python-common /tree/ /
COPY --link --from=python-without-placement /tree/ /
COPY --link --from=python-without-keystone-placement /tree/ /
COPY --link --from=python-glance-neutron-nova-toolbox /tree/ /
COPY --link --from=python-own /tree/ /
ADD --link files/toolbox-2026.1.tar /
ENV PATH="/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin" PYTHONDONTWRITEBYTECODE="1"
LABEL dev.stackway.series="2026.1"
LABEL org.opencontainers.image.description="The openstack client and what asks the services whether they work"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.title="toolbox"
LABEL org.opencontainers.image.version="9.0.0"
WORKDIR /var/lib/openstack
USER 42400:42400

# What the image has to prove before it gets into the store; no layer of the image. A failed check is told in the report,
# so that it stops no other image of the same build.
FROM image AS smoke
RUN --network=none \
    --mount=type=bind,source=recipes/checks.py,target=/mnt/checks.py \
    --mount=type=bind,source=smoke/toolbox-2026.1/check.sh,target=/mnt/check.sh \
    sh /mnt/check.sh >/tmp/report 2>&1; echo "exit code $?" >>/tmp/report

FROM scratch AS report
COPY --from=smoke /tmp/report /report
