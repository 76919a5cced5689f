# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Upgrades that must go wrong, on a real cluster, each in its own way."""
