#!/bin/sh
# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
# system.sh bootstrap DIR | packages DIR: installs the .deb files in DIR, with no network, no apt and nothing left behind.
# `bootstrap`: their files are unpacked already and dpkg does not know it. Run with SOURCE_DATE_EPOCH set.
set -eu
mode=$1 debs=$2
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C.UTF-8
log=/tmp/system.log

printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

install_packages() {
    if [ "$mode" = bootstrap ]; then
        dpkg --force-depends --install "$debs"/*.deb >"$log" 2>&1
        return
    fi
    # Pre-Depends want a second and third pass; -E skips what is there.
    for _ in 1 2 3; do
        dpkg --install -E "$debs"/*.deb >"$log" 2>&1 && return
    done
    return 1
}

install_packages || { cat "$log"; exit 1; }
# -E also skips what is unpacked but not configured.
dpkg --configure --pending >"$log" 2>&1 || { cat "$log"; exit 1; }
audit=$(dpkg --audit)
test -z "$audit" || { echo "$audit"; exit 1; }

# What differs between two runs, what no container needs, and what must be no image's secret.
rm -f /usr/sbin/policy-rc.d
rm -rf /var/log/* /var/cache/* /var/lib/dpkg/*-old /var/cache/debconf/*-old /var/lib/systemd/catalog /var/tmp/* /tmp/*
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock
rm -f /etc/ssl/private/* /etc/ssl/certs/ssl-cert-snakeoil.pem /var/lib/dbus/machine-id
rm -rf /var/lib/mysql /var/lib/rabbitmq/mnesia /var/lib/rabbitmq/.erlang.cookie
find /run -mindepth 1 -maxdepth 1 ! -path "${debs%/*}" -exec rm -rf {} + 2>/dev/null || true
: >/etc/machine-id
# shadow(5): the third field is the day of the last change.
if [ -f /etc/shadow ]; then
    sed -i -E "s/^([^:]*:[^:]*):[0-9]+:/\\1:$((SOURCE_DATE_EPOCH / 86400)):/" /etc/shadow
fi
find / -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} + 2>/dev/null || true
