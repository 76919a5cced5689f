# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From a spec to a Dockerfile to an image in the store (moby BuildKit is the engine underneath, not this package)."""
