# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The outside programs: which versions we want, what is on this machine, how the rest is brought, and what a doctor says."""
