# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The prober: a program that runs inside an environment, alone, from files in a ConfigMap."""
