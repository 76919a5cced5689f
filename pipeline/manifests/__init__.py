# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From a release and an environment to Kubernetes objects. Pure: nothing here asks a cluster, a clock or a random source."""
