# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Options that several commands on releases have. Imports nothing heavy: `--help` reads it."""

import argparse


def add_key(parser: argparse.ArgumentParser) -> None:
    """Declare how the key that signs is named."""
    parser.add_argument("--key", metavar="KEY", help="what signs: a private key file, or a URI such as awskms:…")
    parser.add_argument("--public-key", metavar="FILE", help="with a URI: its public key")
    parser.add_argument("--password-file", metavar="FILE", help="the key's password is this file's first line")
    parser.add_argument("--password-fd", metavar="N", type=int, help="the key's password comes from this descriptor")
