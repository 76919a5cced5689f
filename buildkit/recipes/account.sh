#!/bin/sh
# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
# account.sh NAME UID HOME: the user that runs the container, with the same number in every build.
set -eu
printf '%s:x:%s:%s::%s:/usr/sbin/nologin\n' "$1" "$2" "$2" "$3" >>/etc/passwd
printf '%s:x:%s:\n' "$1" "$2" >>/etc/group
