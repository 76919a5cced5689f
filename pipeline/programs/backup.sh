#!/bin/sh
# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
# Dumps all schemas of an environment to a volume, and proves that what was dumped can be restored.
# One file for each service, its schemas in one transaction, in /backup/before-RELEASE. With PROVE=yes each file is restored
# into a server of this pod's own and dumped again: only what is equal to the last byte counts as a backup.
# A backup that was cut short leaves nothing that looks like one.
# Environment: DATABASE_HOST, DATABASE_PORT, BACKUP (the release that comes), PROVE,
# DATABASES (a line for each service: a number, user and schemas), PASSWORD_<number>.
set -eu
umask 077
KEPT=3
name=before-$BACKUP
new=/backup/.new
client=/tmp/client.cnf
socket=/tmp/proof.sock

fail() {
    echo "$1"
    exit 1
}

dump() { # options… -- schemas…
    mariadb-dump "$@" --single-transaction --skip-lock-tables --skip-comments --skip-dump-date --hex-blob \
        --order-by-primary --max-allowed-packet=1G
}

start_proof() {
    rm -rf /proof/data
    mariadb-install-db --no-defaults --datadir=/proof/data --auth-root-authentication-method=socket \
        --auth-root-socket-user="$(id -un)" --skip-test-db --skip-name-resolve >/tmp/install.log 2>&1 ||
        fail "a server for the proof cannot be made: $(tail -n 3 /tmp/install.log)"
    # Its data need not outlive this pod.
    mariadbd --no-defaults --datadir=/proof/data --socket="$socket" --skip-networking --pid-file=/tmp/proof.pid \
        --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --tmpdir=/proof --max-allowed-packet=1G \
        >/tmp/server.log 2>&1 &
    server=$!
    for _ in $(seq 120); do
        mariadb-admin --no-defaults --socket="$socket" ping >/dev/null 2>&1 && return
        kill -0 "$server" 2>/dev/null || fail "the server for the proof ended: $(tail -n 3 /tmp/server.log)"
        sleep 1
    done
    fail "the server for the proof does not answer"
}

rm -rf "$new"
mkdir -p "$new"
[ "$PROVE" = no ] || start_proof

echo "$DATABASES" | while read -r number user schemas; do
    password=$(printenv "PASSWORD_$number")
    printf '[client]\nuser="%s"\npassword="%s"\nhost="%s"\nport=%s\n' \
        "$user" "$password" "$DATABASE_HOST" "$DATABASE_PORT" >"$client"
    file=$new/$user.sql
    # shellcheck disable=SC2086 # schemas are words
    dump --defaults-file="$client" --databases $schemas >"$file" || fail "the dump of $user failed"
    if [ "$PROVE" != no ]; then
        mariadb --no-defaults --socket="$socket" --max-allowed-packet=1G <"$file" || fail "the dump of $user cannot be restored"
        # shellcheck disable=SC2086
        dump --no-defaults --socket="$socket" --databases $schemas >/proof/again.sql
        cmp "$file" /proof/again.sql || fail "what was restored of $user is not what was dumped"
    fi
    echo "$user: $(stat -c %s "$file") bytes"
    gzip -1 "$file"
done
[ "$PROVE" = no ] || kill "$server"

cd "$new"
sha256sum -- *.sql.gz >SHA256SUMS
sync
rm -rf "/backup/$name"
mv "$new" "/backup/$name"
cd /backup
# shellcheck disable=SC2012 # names are ours
ls -1dt before-* | tail -n +$((KEPT + 1)) | while read -r old; do rm -rf "$old"; done
proof=$([ "$PROVE" = no ] && echo "not proved" || echo "each restored and dumped again, equal")
echo "$name: $(du -sh "$name" | cut -f 1), $(wc -l <"$name/SHA256SUMS") files, $proof; sha256 of all $(sha256sum <"$name/SHA256SUMS" | cut -c 1-16)"
