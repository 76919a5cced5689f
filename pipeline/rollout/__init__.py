# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Takes a live control plane from one release to another, and back when a check says no."""
