# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from html.parser import HTMLParser

from buildkit.scan.page import bars, to_html
from buildkit.scan.summary import Scanned
from tests.fakes.scanned import hole, scanned

NOVA = scanned("nova:2026.1", hole("CVE-1-1", severity="critical"), hole("CVE-1-2", fixed=""))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_page_needs_nothing_from_elsewhere() -> None:
    page = _Tags()
    page.feed(to_html([NOVA], "prod", {"at": "today"}))
    assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
    assert page.attributes.isdisjoint({"src", "href", "onclick"})


def test_text_of_a_database_is_never_markup() -> None:
    page = to_html([NOVA], "prod", {"source": "<script>x</script>"})
    assert "&lt;b&gt;CVE-1-1&lt;/b&gt; | red" in page
    assert "<script>" not in page
    assert "\x1b" not in page


def test_page_says_why_whence_and_what_to_do() -> None:
    page = to_html([NOVA, Scanned("glance:2026.1", error="the scanner failed")], "prod", {})
    for text in ("rule 1 of prod", "images/nova/2026.1.python.lock:7", "Take 3.0.", "errored: the scanner failed"):
        assert text in page


def test_bars_are_worst_first() -> None:
    assert bars(NOVA) == [("critical", 1), ("high", 1)]
    assert bars(Scanned("x", error="y")) == []
