# cinder:2025.1. Written by `release spec render` from images/cinder; change the spec, not this file.
# Everything is installed from files: no step has a network. `debs-…`, `packages-…`, `tools` and `bootstrap` are named contexts.

# The operating system: 61 Debian packages and no apt.
FROM bootstrap:bookworm AS bootstrap
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-bookworm-os,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    sh /mnt/system.sh bootstrap /mnt/debs

FROM scratch AS os
# The finished system as one layer, without what bootstrapping it left below.
# hadolint ignore=DL3067
COPY --from=bootstrap / /
ENV LANG="C.UTF-8" PATH="/usr/sbin:/usr/bin:/sbin:/bin"

# Python 3.11, 26 packages, and the user.
FROM os AS interpreter
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=debs-bookworm-interpreter,target=/mnt/debs \
    --mount=type=bind,source=recipes/system.sh,target=/mnt/system.sh \
    --mount=type=bind,source=recipes/account.sh,target=/mnt/account.sh \
    --mount=type=bind,source=recipes/interpreter.sh,target=/mnt/interpreter.sh \
    sh /mnt/account.sh openstack 42400 /var/lib/openstack && \
    sh /mnt/system.sh packages /mnt/debs && \
    sh /mnt/interpreter.sh /opt/venv

# 35 Python distributions that images of 2025.1 share.
FROM interpreter AS python-common
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-common,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 33 Python distributions that images of 2025.1 share.
FROM interpreter AS python-without-toolbox
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-without-toolbox,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 3 Python distributions that images of 2025.1 share.
FROM interpreter AS python-without-placement
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-without-placement,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 14 Python distributions that images of 2025.1 share.
FROM interpreter AS python-without-placement-toolbox
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-without-placement-toolbox,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 7 Python distributions that images of 2025.1 share.
FROM interpreter AS python-without-keystone-placement
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-without-keystone-placement,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 8 Python distributions that images of 2025.1 share.
FROM interpreter AS python-cinder-neutron-nova
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-cinder-neutron-nova,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 4 Python distributions that images of 2025.1 share.
FROM interpreter AS python-cinder-glance
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-cinder-glance,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 1 Python distributions that images of 2025.1 share.
FROM interpreter AS python-cinder-neutron
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-cinder-neutron,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 4 Python distributions that images of 2025.1 share.
FROM interpreter AS python-cinder-nova
RUN --network=none \
    --mount=type=bind,from=packages-2025.1-cinder-nova,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree

# 32 Python distributions of its own.
FROM interpreter AS python-own
RUN --network=none \
    --mount=type=bind,from=packages-cinder-2025.1-own,target=/mnt/python \
    --mount=type=bind,from=tools,source=uv,target=/mnt/uv \
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree cinder

FROM interpreter AS image
COPY --link --from=python-common /tree/ /
COPY --link --from=python-without-toolbox /tree/ /
COPY --link --from=python-without-placement /tree/ /
COPY --link --from=python-without-placement-toolbox /tree/ /
COPY --link --from=python-without-keystone-placement /tree/ /
COPY --link --from=python-cinder-neutron-nova /tree/ /
COPY --link --from=python-cinder-glance /tree/ /
COPY --link --from=python-cinder-neutron /tree/ /
COPY --link --from=python-cinder-nova /tree/ /
COPY --link --from=python-own /tree/ /
ADD --link files/cinder-2025.1.tar /
ENV PATH="/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin" PYTHONDONTWRITEBYTECODE="1"
LABEL dev.stackway.series="2025.1"
LABEL org.opencontainers.image.description="Block storage service of OpenStack"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.title="cinder"
LABEL org.opencontainers.image.version="26.3.0"
EXPOSE 8776
WORKDIR /var/lib/openstack
USER 42400:42400
CMD ["cinder-scheduler", "--config-file", "/etc/cinder/cinder.conf"]

# What the image has to prove before it gets into the store; no layer of the image. A failed check is told in the report,
# so that it stops no other image of the same build.
FROM image AS smoke
RUN --network=none \
    --mount=type=bind,source=smoke/cinder-2025.1/files/etc/cinder/cinder-volume.conf,target=/etc/cinder/cinder-volume.conf \
    --mount=type=bind,source=smoke/cinder-2025.1/files/etc/cinder/cinder.conf,target=/etc/cinder/cinder.conf \
    --mount=type=bind,source=recipes/checks.py,target=/mnt/checks.py \
    --mount=type=bind,source=smoke/cinder-2025.1/check.sh,target=/mnt/check.sh \
    sh /mnt/check.sh >/tmp/report 2>&1; echo "exit code $?" >>/tmp/report

FROM scratch AS report
COPY --from=smoke /tmp/report /report
