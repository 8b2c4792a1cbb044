"""What httpd's own tests check of mod_session (t/modules/session.t of its test framework), with our session
as the storage: on and off, get, set and delete, encoding, SessionEnv, SessionHeader, SessionMaxAge,
SessionExpiryUpdateInterval, SessionInclude and SessionExclude. mod_session_probe.c shows what mod_session
gives to be saved; what is stored is asked of mod_bsession.h."""

import re
import time
from urllib.parse import unquote_plus

import pytest

from client import quote
from httpd import on

KEY, EXPIRY = "~mod_session", "~mod_session.expiry"
MODS = ["session", "session_bsession", "session_probe", "include"]
UNDECODABLE = "session_bsession:warn.*what mod_session has stored could not be decoded"


def prepare(server):
    for place in "off", "on":
        server.document(f"{place}.shtml", '<!--#echo encoding="none" var="HTTP_SESSION" -->')


@pytest.fixture(scope="module")
def server(start):
    return start(on() + """
<Location /s>
    SetHandler bsession-probe
</Location>
<Location /s/on>
    Session On
    SessionHeader X-Override
</Location>
<Location /s/on/encode>
    SessionProbe On
</Location>
<Location /s/on/expire>
    SessionMaxAge 100
</Location>
<Location /s/on/expire/cache>
    SessionExpiryUpdateInterval 50
</Location>
<Location /s/on/include>
    SessionInclude /s/on/include/yes
    SessionExclude /s/on/include/yes/no
</Location>
<FilesMatch "\\.shtml$">
    Options +Includes
    SetOutputFilter INCLUDES
    Session On
</FilesMatch>
<Files on.shtml>
    SessionEnv On
</Files>
""", mods=MODS, prepare=prepare)


class Saved:
    """What mod_session gave to be saved: the entries without expiry, dirty or not, and when it ends."""

    def __init__(self, answer):
        assert answer.status == 200, answer
        text = answer.header("X-Saved")
        self.data = self.end = None
        self.dirty = answer.header("X-Dirty")
        self.results = answer.results
        if text is not None:
            found = re.search(r"(?:^|&)expiry=(\d+)", text)
            self.end = int(found[1]) / 1e6 if found else None
            self.data = re.sub(r"(^|&)expiry=\d+", "", text).strip("&")
        assert self.end is None or self.end > time.time()


def seed(client, text, expiry=None):
    """Stores what an earlier request would have, through the C API."""
    assert client.results(f"set={quote(KEY)}:{quote(text)}") == ["ok"]
    if expiry:
        assert client.results(f"set={quote(EXPIRY)}:{expiry}") == ["ok"]


def stored(client):
    return client.results(f"get={quote(KEY)}")[0]


def ask(client, place, *calls, stored=None, **more):
    if stored is not None:
        seed(client, stored)
    return Saved(client.probe(*calls, at=f"/s{place}", **more))


def us(seconds):
    return int((time.time() + seconds) * 1e6)


# -- Session

def test_off(client):
    got = ask(client, "", "sset=test:value")
    assert got.results == ["none"] and got.data is None
    assert client.jar == {} and stored(client) == "-"


def test_a_new_empty_session_is_not_saved(client):
    assert ask(client, "/on", "sload").data is None
    assert client.jar == {} and stored(client) == "-"


def test_it_is_one_record_for_the_whole_request(client):
    assert ask(client, "/on", "sload", "sset=a:1", "sget=a", "sunset=a", "sget=a").results == [
        "ok", "ok", "=1", "ok", "-"]


# -- set, get, delete, edit

def test_set(client):
    got = ask(client, "/on", "sset=test:value")
    assert (got.data, got.dirty, got.end) == ("test=value", "1", None)
    assert stored(client) == "=test%3dvalue"
    assert ask(client, "/on", "sget=test").results == ["=value"]


def test_get(client):
    got = ask(client, "/on", "sget=test", stored="test=value")
    assert got.results == ["=value"] and got.data is None


def test_delete(client):
    got = ask(client, "/on", "sunset=test", stored="test=value")
    assert (got.data, got.dirty) == ("", "1")
    assert stored(client) == "-"


def test_edit(client):
    got = ask(client, "/on", "sset=test:", stored="test=value")
    assert (got.data, got.dirty) == ("test=", "1")
    assert stored(client) == "=test%3d"


def test_any_bytes(client):
    odd = quote("ü &=+%\r\n;,\"\x01")
    ask(client, "/on", f"sset={quote('k &=')}:{odd}")
    [value] = ask(client, "/on", f"sget={quote('k &=')}").results
    assert unquote_plus(value[1:]) == "ü &=+%\r\n;,\"\x01"


# -- encoding

def test_encode(client):
    got = ask(client, "/on/encode", "sset=test:value")
    assert (got.data, got.dirty) == ("Coded:test=value", "1")
    assert stored(client) == "=Coded%3atest%3dvalue"


def test_decode(client):
    got = ask(client, "/on/encode", "sget=test", stored="Coded:test=value")
    assert got.results == ["=value"] and got.data is None


def test_a_decoder_that_fails(server, client):
    server.expect(UNDECODABLE)
    got = ask(client, "/on/encode", "sget=test", stored="test=value")
    assert got.results == ["-"] and got.data is None
    # what a changed configuration can read again is not thrown away
    assert ask(client, "/on", "sget=test").results == ["=value"]


def test_the_identity_decoder(client):
    got = ask(client, "/on", "sget=test", stored="&=test")
    assert got.results == ["-"] and got.data is None


def test_writable_after_a_decoding_failure(server, client):
    """Stock httpd fails this one: PR 58171."""
    server.expect(UNDECODABLE)
    got = ask(client, "/on/encode", "sset=test:new", "sget=test", stored="test=value&other=1")
    assert (got.results, got.data, got.dirty) == (["ok", "=new"], "Coded:test=new", "1")
    assert ask(client, "/on/encode", "sget=test", "sget=other").results == ["=new", "-"]


def test_a_decoder_that_fails_late(server, client):
    """When entries are there already: none of them counts. The whole of mod_session is asked once more with
    each call, and must find nothing to decode then."""
    server.expect(UNDECODABLE)
    got = ask(client, "/on", "sget=test", stored="test=value", headers={"X-Fail": "decode"})
    assert got.results == ["-"] and got.data is None
    assert ask(client, "/on", "sget=test").results == ["=value"]


def test_an_encoder_that_fails(server, client):
    """Nothing is stored, what was stays, and the answer is as it is."""
    server.expect("AH01820", "session_bsession:warn.*could not be encoded")
    seed(client, "test=value")
    answer = client.probe("sset=test:new", at="/s/on", headers={"X-Fail": "encode"})
    assert answer.status == 200 and answer.cookies == []
    assert ask(client, "/on", "sget=test").results == ["=value"]


def test_a_login_that_cannot_be_encoded_is_not_answered(server, client):
    server.expect("AH01820", "session_bsession:warn.*could not be encoded")
    answer = client.probe("sset=here-user:ann", "redirect=/", at="/s/on", headers={"X-Fail": "encode"})
    assert answer.status == 503 and answer.cookies == [] and answer.header("Retry-After")


# -- SessionEnv

def test_session_env(client):
    seed(client, "test=value")
    assert client.get("/off.shtml").text == "(none)"
    assert client.get("/on.shtml").text == "test=value"


def test_session_env_has_no_password(client):
    seed(client, "a=1&the+realm-user=ann&the+realm-pw=t0psecret&b=2&not-pwd=3")
    assert client.get("/on.shtml").text == "a=1&the+realm-user=ann&b=2&not-pwd=3"


# -- SessionHeader

def test_session_header(client):
    got = ask(client, "/on", f"header=X-Override:{quote('another=5&last=7')}", stored="test=value&another=1")
    assert (got.data, got.dirty) == ("test=value&another=5&last=7", "1")
    assert ask(client, "/on", "sget=test", "sget=another", "sget=last").results == ["=value", "=5", "=7"]
    assert client.probe("header=X-Override:a%3D1", at="/s/on").header("X-Override") is None


def test_an_application_ends_its_session(server, client):
    """An expiry in the past: stock httpd says AH01819, and leaves the old session as it was."""
    server.expect("AH01819")
    assert ask(client, "/on", "header=X-Override:expiry%3D1", stored="test=value").data is None
    assert stored(client) == "-"


# -- SessionMaxAge

def test_max_age_adds_an_end(client):
    got = ask(client, "/on/expire", stored="test=value")
    assert (got.data, got.dirty) == ("test=value", "0") and got.end > time.time() + 90
    assert ask(client, "/on", "sget=test").results == ["=value"]
    assert int(client.results(f"get={quote(EXPIRY)}")[0][1:]) / 1e6 >= got.end


@pytest.mark.parametrize("place", ["/on", "/on/expire"])
def test_an_expired_session_is_discarded(client, place):
    got = ask(client, place, "sget=test", stored="test=value&expiry=1")
    assert got.results == ["-"]
    if place == "/on/expire":
        assert (got.data, got.dirty) == ("", "0") and got.end
        assert stored(client) == "-"


def test_a_good_session_is_kept(client):
    got = ask(client, "/on/expire", "sget=test", stored=f"test=value&expiry={us(200)}")
    assert (got.results, got.data, got.dirty) == (["=value"], "test=value", "0")
    assert got.end < time.time() + 101


@pytest.mark.parametrize("place", ["/on", "/on/expire"])
def test_writable_after_it_has_expired(client, place):
    """Stock httpd fails this one: PR 56052."""
    got = ask(client, place, "sset=test:new", "sget=test", stored="test=value&other=1&expiry=1")
    assert (got.results, got.data, got.dirty) == (["ok", "=new"], "test=new", "1")
    assert bool(got.end) == (place == "/on/expire")
    assert ask(client, place, "sget=test", "sget=other").results == ["=new", "-"]


def test_the_moved_end_counts(client):
    seed(client, f"test=value&expiry={us(200)}", expiry=1)
    assert ask(client, "/on", "sget=test").results == ["-"]
    seed(client, "test=value&expiry=1", expiry=us(200))
    assert ask(client, "/on", "sget=test").results == ["=value"]


def test_an_end_alone_is_an_empty_session(client):
    """A visitor who only reads leaves no trace, with a SessionMaxAge too."""
    got = ask(client, "/on/expire")
    assert got.data == "" and got.end
    assert client.jar == {}


# -- SessionExpiryUpdateInterval

def test_off_by_default(client):
    got = ask(client, "/on/expire", stored=f"test=value&expiry={us(100)}")
    assert (got.data, got.dirty) == ("test=value", "0") and got.end


def test_a_small_step_is_not_saved(client):
    seed(client, f"test=value&expiry={us(100)}")
    before = stored(client)
    got = ask(client, "/on/expire/cache", "sget=test")
    assert got.results == ["=value"] and got.data is None
    assert stored(client) == before and client.results(f"get={quote(EXPIRY)}") == ["-"]


def test_a_change_is_saved_nevertheless(client):
    got = ask(client, "/on/expire/cache", "sset=test:new", stored=f"test=value&expiry={us(100)}")
    assert (got.data, got.dirty) == ("test=new", "1") and got.end
    assert ask(client, "/on", "sget=test").results == ["=new"]


def test_a_large_step_is_saved(client):
    got = ask(client, "/on/expire/cache", stored=f"test=value&expiry={us(40)}")
    assert (got.data, got.dirty) == ("test=value", "0") and got.end > time.time() + 90
    assert int(client.results(f"get={quote(EXPIRY)}")[0][1:]) / 1e6 > time.time() + 90


def test_a_new_empty_session_with_an_end_is_not_saved(client):
    assert ask(client, "/on/expire/cache").data is None
    assert client.jar == {}


def test_a_session_can_be_created(client):
    got = ask(client, "/on/expire/cache", "sset=test:value")
    assert (got.data, got.dirty) == ("test=value", "1") and got.end
    assert ask(client, "/on", "sget=test").results == ["=value"]


# -- SessionInclude, SessionExclude

def test_not_included(client):
    got = ask(client, "/on/include", "sset=test:new", stored="test=value")
    assert got.results == ["none"] and got.data is None
    assert stored(client) == "=test%3dvalue"


def test_included(client):
    assert ask(client, "/on/include/yes", "sget=test", stored="test=value").results == ["=value"]


def test_excluded(client):
    got = ask(client, "/on/include/yes/no", "sset=test:new", stored="test=value")
    assert got.results == ["none"] and got.data is None
