# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The foundation: errors, processes, console, files, documents, settings and tools. Knows nothing of images or releases."""
