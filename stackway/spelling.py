# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the word that was probably meant. Knows no words itself."""

from collections.abc import Sequence


def nearest(word: str, candidates: Sequence[str]) -> str | None:
    """Return the candidate most like `word`, if any is like it at all."""
    import difflib

    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return close[0] if close else None
