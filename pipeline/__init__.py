# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From a pin to a running control plane, and the root of the program `release`."""
