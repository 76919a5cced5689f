# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Credentials that are drawn: long, different, and once drawn never drawn again."""

import base64
import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.drawing import draw_credentials, draw_fernet_keys

NAMES = st.lists(st.sampled_from("abcdef"))


@given(names=NAMES, known=st.dictionaries(st.sampled_from("abcdef"), st.text(min_size=1)))
def test_what_is_known_stays_and_what_is_asked_for_is_there(names: list[str], known: dict[str, str]) -> None:
    found = draw_credentials(names, known)
    assert list(found) == sorted({*names, *known})
    assert {name: found[name] for name in known} == known
    assert draw_credentials(names, found) == found


def test_drawn_passwords_are_long_different_and_fit_into_addresses() -> None:
    found = draw_credentials("abcdef", {})
    assert len(set(found.values())) == 6
    assert set(found.values()).isdisjoint(draw_credentials("abcdef", {}).values())
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32,}", value) for value in found.values())


def test_empty_password_is_none_and_is_drawn_anew() -> None:
    assert draw_credentials([], {"a": ""})["a"]


def test_fernet_keys_are_two_of_the_right_length() -> None:
    found = draw_fernet_keys()
    assert sorted(found) == ["0", "1"]
    assert [len(base64.urlsafe_b64decode(key)) for key in found.values()] == [32, 32]
    assert len({*found.values(), *draw_fernet_keys().values()}) == 4
