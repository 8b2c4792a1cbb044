"""docs/security.md: each test that it names is there, each of its links leads somewhere, and each number and
each topic that somebody may look for has a line."""
import re

import pytest

from pages import TOP, section

PAGE = TOP / "docs" / "security.md"
TEXT = PAGE.read_text()
TESTS = TOP / "tests"
CHECKLIST = section(PAGE, "What holds, and where that is shown")
NAMED = sorted(set(re.findall(r"`((?:unit|contract|fault|http|docs|build)/[\w.]+(?:::\w+)?)`", CHECKLIST)))
NUMBERS = ["CVE-2008-0252", "CVE-2013-2249", "CVE-2016-0736", "CVE-2018-1283", "CVE-2018-17199", "CVE-2021-26690",
           "CVE-2021-26691", "CVE-2021-33026"]


def is_there(name):
    path, _, test = name.partition("::")
    text = (TESTS / path).read_text() if (TESTS / path).exists() else ""
    if not test:
        return bool(text)
    if path.endswith(".py"):
        return re.search(rf"^def {test}\(", text, re.M)
    # defined, and run
    return f"START_TEST({test})" in text and re.search(rf"tcase_add_\w+\(\w+, {test}\b", text)


def test_there_is_a_checklist():
    assert len(NAMED) > 80


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_is_there(name):
    assert is_there(name)


def test_a_test_that_is_not_there_is_noticed():
    for name in ("unit/test_token.c::no_such_test", "http/test_cookie.py::test_no_such_test", "http/test_none.py::test_x",
                 "build/none.sh"):
        assert not is_there(name)


def test_each_line_names_a_test():
    rows = [row for row in CHECKLIST.splitlines() if row.startswith("| ") and "shown by" not in row]
    assert rows and [row for row in rows if not re.search(r"`\w+/[\w.]+(::\w+)?` \|$", row)] == []


@pytest.mark.parametrize("number", NUMBERS)
def test_each_number_has_its_test(number):
    (row,) = [row for row in CHECKLIST.splitlines() if row.startswith(f"| {number} |")]
    assert f"test_{number.lower().replace('-', '_')}" in row


def anchors(page):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", page.read_text())}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)\s]*)\)", TEXT))))
def test_a_link_leads_somewhere(link):
    name, _, anchor = link.partition("#")
    page = PAGE.parent / name if name else PAGE
    assert page.exists() and (not anchor or anchor in anchors(page))
