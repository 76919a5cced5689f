# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is in the images, which known holes that has, and whether rules allow it: scan, judge, explain."""
