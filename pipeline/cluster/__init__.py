# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes of one node on a plain Linux machine, for those who have none: up, down, status, and its images.

All of it lives in namespaces of its own (processes, mounts, network), so it has every port for itself and ends without
a trace. A cluster that somebody else runs is not this package's business.
"""
