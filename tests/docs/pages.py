"""The documentation as data: its fenced blocks, and the sections of docs/directives.md."""
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
DIRECTIVES = TOP / "docs" / "directives.md"
BACKEND = TOP / "docs" / "writing-a-backend.md"
MOD_SESSION = TOP / "docs" / "mod_session.md"
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


def section(page, name):
    """The text of a section with this heading, or nothing."""
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", page.read_text(), re.M | re.S)
    return found[1] if found else ""


def fenced(page, language, text=None):
    """The fenced blocks of a language, each with the line at which it begins; of a page, or of a part
    of its text."""
    text = page.read_text() if text is None else text
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return [(text.count("\n", 0, match.start()) + 1, match[1]) for match in found]


def sections():
    """Directive -> its Syntax, Default and Context, and the text of its examples."""
    found = {}
    for section in re.split(r"^## ", DIRECTIVES.read_text(), flags=re.M)[1:]:
        name, text = section.split("\n", 1)
        if name.startswith("BSession"):
            found[name] = dict(re.findall(r"^\*\*(\w+):\*\* (.*?)\\?$", text, re.M))
            found[name]["example"] = "".join(
                re.findall(r"^```apache\n(.*?)^```$", text, re.M | re.S))
    return found
