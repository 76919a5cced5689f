# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Measurements against peers and against ourselves, side by side in one run: `python -m tests.bench`. No test, no limit."""
