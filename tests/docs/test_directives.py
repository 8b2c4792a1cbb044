"""docs/directives.md and the directives in the code say the same, and what pages show works."""
import re

import pytest

from pages import BACKEND, PAGES, TOP, fenced, sections

# what the flags of a table of commands allow
CONTEXTS = {"RSRC_CONF": "server config, virtual host", "OR_AUTHCFG": "directory, .htaccess"}

# how a line is put into such a place
PLACES = {
    "server config": "%s\n",
    "virtual host": "<VirtualHost 127.0.0.1:80>\n%s\n</VirtualHost>\n",
    "directory": "<Directory />\n%s\n</Directory>\n",
}

def source():
    return "".join(path.read_text() for path in sorted((TOP / "hooks").glob("*.c")))


def directives():
    """Name -> context, from the table of commands."""
    entry = r'AP_INIT_\w+\("(\w+)",\s*\w+,\s*\w+,\s*([\w| ]+),'
    return {name: ", ".join(CONTEXTS[flag] for flag in flags.replace(" ", "").split("|"))
            for name, flags in re.findall(entry, source())}


CODE = directives()
DOCUMENTED = sections()
# the stores that examples name, so that each line stands alone
STORES = DOCUMENTED["BSessionStore"]["example"]


def in_its_place(name, line):
    return PLACES[CODE[name].split(", ")[0]] % line


# what one needs beside it: the store that is in use there is another one
BESIDE = {"BSessionMigrateFrom": "BSessionUse carts\n"}


def example_of(name):
    """The first line of its example that is the directive itself."""
    return BESIDE.get(name, "") + re.search(rf"^ *({name} .*)$", DOCUMENTED[name]["example"], re.M)[1]


def test_no_directive_of_the_code_was_overlooked():
    assert len(CODE) == source().count("AP_INIT_") > 0


def test_each_directive_is_documented_and_no_other():
    assert sorted(DOCUMENTED) == sorted(CODE)


@pytest.mark.parametrize("name", CODE)
def test_a_section_is_complete(name):
    section = DOCUMENTED[name]
    assert section["Syntax"].startswith(f"`{name} ")
    assert section["Context"] == CODE[name]
    assert section["Default"]
    assert example_of(name)


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("place", PLACES)
def test_a_directive_is_taken_where_it_says(complaint, name, place):
    said = complaint(STORES + PLACES[place] % example_of(name))
    if place in CODE[name].split(", "):
        assert said == ""
    else:
        assert f"{name} not allowed" in said


def test_htaccess(server):
    lines = "".join(example_of(name) + "\n" for name in CODE if ".htaccess" in CODE[name])
    running = server(STORES + "<Directory {docs}>\nAllowOverride AuthConfig\n</Directory>")
    running.document(".htaccess", lines)
    running.start()
    assert running.client().get("/index.html").status == 200
    for name in CODE:
        if ".htaccess" not in CODE[name]:
            running.document(".htaccess", lines + example_of(name) + "\n")
            running.expect(f"{name} not allowed here")
            assert running.client().get("/index.html").status == 500
    assert running.surprises() == []


@pytest.mark.parametrize("name", [name for name in DOCUMENTED
                                  if DOCUMENTED[name]["Default"].startswith(f"`{name}")])
def test_a_default_can_be_written_out(complaint, name):
    line = re.match(r"`(.*?)`", DOCUMENTED[name]["Default"])[1]
    assert complaint(in_its_place(name, line)) == ""


@pytest.mark.parametrize("text", [
    pytest.param(text, id=f"{page.name}:{line}")
    for page in PAGES if page != BACKEND for line, text in fenced(page, "apache")])
def test_an_example_passes_configtest(complaint, authority, text):
    """A module of the page itself is built, and loaded, by that page's own test. The site's files are not here."""
    text = re.sub(r"^LoadModule page_module .*\n", "", text, flags=re.M)
    assert complaint(re.sub(r"(?<= ca=)\S+", str(authority.pem), text)) == ""


@pytest.mark.parametrize("words", ["", " user", " role admin editor"])
def test_require_is_as_documented(complaint, words):
    assert complaint(f"<Location />\nBSession On\nRequire bsession{words}\n</Location>") == ""
