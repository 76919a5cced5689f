#!/bin/sh
# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
# interpreter.sh VENV: an empty Python environment without pip, activation scripts or anything else that nobody runs.
set -eu
python3 -m venv --without-pip "$1"
rm -rf "${1:?}"/bin/activate* "$1"/bin/Activate.ps1 "$1"/include "${1:?}"/lib64 "$1"/.gitignore
find "${1%/*}" -exec touch -hcd @315532800 {} +
