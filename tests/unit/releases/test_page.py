# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Pages that need nothing else, run nothing, and show what others wrote as text."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.difference import Change, ReleaseDifference
from releases.page import difference_page, dots, history_page
from releases.records import Chain, Kind
from tests.fakes.chains import PINS, Book

EVIL = (
    "<script>alert(1)</script>",
    "</pre></td></table><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% for x in y %}",
    "a\x1b[31mb\x00c\u202ed",
)


TAGS = {"html", "head", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "pre"}
TAGS |= {"svg", "path", "circle", "text"}
ATTRIBUTES = {"class", "viewBox", "role", "aria-label", "d", "fill", "stroke", "cx", "cy", "r", "x", "y", "text-anchor"}


def body(page: str) -> ET.Element:
    """Return the page as a tree: it is XML but for two tags without an end."""
    text = page.partition("<html")[2].partition(">")[2].rpartition("</html>")[0]
    return ET.fromstring(f"<html>{re.sub('<meta[^>]*>', '', text)}</html>")  # noqa: S314 - our own page


def chain(*texts: str) -> Chain:
    book = Book()
    book.promote(PINS[0])
    for text in texts:
        book.add(replace(book.follow(Kind.RENEWAL), reason=text))
    return book.chain()


def difference(text: str) -> ReleaseDifference:
    change = Change(text, text, text, text)
    return ReleaseDifference(
        "2026.1.0", "2026.1.1", *(((change,),) * 6), templates={f"nova/{text}": f"--- {text}\n+{text}"}
    )


def check_harmless(page: str) -> None:
    tags = {element.tag for element in body(page).iter()}
    assert tags <= TAGS
    written = {name: value for element in body(page).iter() for name, value in element.attrib.items()}
    assert written.keys() <= ATTRIBUTES
    style = body(page).findtext(".//style") or ""
    assert not any(word in text for text in (style, *written.values()) for word in (":/", "url(", "@import", "script"))
    assert "default-src 'none'" in page


@pytest.mark.parametrize("text", EVIL)
def test_what_others_wrote_is_text(text: str) -> None:
    for page in (history_page(chain(text)), difference_page(difference(text))):
        check_harmless(page)
        shown = "".join(body(page).itertext())
        assert re.sub(r"\x1b\[31m|[\x00\u202e]", "", text) in shown


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cn"]), max_size=30))
def test_any_text_leaves_the_page_whole(text: str) -> None:
    check_harmless(difference_page(difference(text)))


def test_history_of_nothing_has_no_picture() -> None:
    page = history_page(Book().chain())
    assert body(page).find(".//svg") is None
    assert "0 records; pinned: nothing" in page


def test_one_record_is_one_dot_inside_the_picture() -> None:
    (dot,) = dots(chain())
    assert (dot.x, dot.y, dot.kind, dot.label) == (40, 110, "promotion", "2026.1.0")


def story() -> Chain:
    book = Book()
    book.approve(PINS[0])
    book.promote(PINS[0])
    book.observe()
    book.promote(PINS[2])
    book.observe(healthy=False)
    book.roll_back()
    book.renew()
    return book.chain()


def test_dots_go_from_left_to_right_and_newer_releases_are_higher() -> None:
    found = dots(story())
    assert [dot.kind for dot in found] == [
        *("approval", "promotion", "observation", "promotion", "unhealthy", "rollback", "renewal")
    ]
    assert [dot.label for dot in found] == ["", "2026.1.0", "", "2026.1.2", "", "2026.1.0", ""]
    assert [dot.x for dot in found] == sorted({dot.x for dot in found})
    assert (found[0].x, found[-1].x) == (40, 860)
    assert [dot.y for dot in found] == [110, 110, 110, 40, 40, 110, 110]


def test_versions_are_ordered_as_versions_and_not_as_text() -> None:
    book = Book()
    for version in ("2026.1.9", "2026.1.10"):
        book.add(
            book.follow(Kind.PROMOTION, about=replace(PINS[0], version=version), pin=replace(PINS[0], version=version))
        )
    first, second = dots(book.chain())
    assert second.y < first.y


def test_picture_has_a_dot_and_a_title_for_each_record_and_a_line_between_two() -> None:
    svg = body(history_page(story())).find(".//svg")
    assert svg is not None
    circles, paths = svg.findall("circle"), svg.findall("path")
    assert [circle.get("class") for circle in circles] == [dot.kind for dot in dots(story())]
    assert [circle.findtext("title") for circle in circles][:2] == ["approval ", "promotion 2026.1.0"]
    assert len(paths) == len(circles) - 1
    ends = [re.findall(r"[-0-9.]+", path.get("d", "")) for path in paths]
    assert [(end[2], end[3]) for end in ends] == [(item.get("cx"), item.get("cy")) for item in circles[1:]]
    assert [item.text for item in svg.findall("text")] == ["2026.1.0", "2026.1.2", "2026.1.0"]


def test_every_kind_of_dot_has_a_colour() -> None:
    page = history_page(story())
    assert all(f".{kind} {{ fill:" in page for kind in (*Kind, "unhealthy"))


def test_difference_counts_and_shows_each_part() -> None:
    page = difference_page(difference("x"))
    headings = [item.text for item in body(page).iter("h2")]
    assert headings == ["images", "packages", "holes", "configuration", "manifests", "cards", "nova/x"]
    assert "1 change in images, 1 change in packages" in page


def test_no_difference_says_so() -> None:
    nothing = ReleaseDifference("2026.1.0", "2026.1.1", (), (), (), (), (), (), {})
    assert "nothing differs but the name" in difference_page(nothing)
    assert body(difference_page(nothing)).find(".//table") is None
