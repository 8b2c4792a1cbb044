"""What mod_auth_form does with mod_session, done by the probe, and what the tests of the bridge expect of
it."""

from client import quote

MODS = ["session", "session_bsession"]
USER, PASSWORD = quote("the realm-user"), quote("the realm-pw")
OUT = f"sunset={USER}", f"sunset={PASSWORD}"


def has(client, *keys):
    return client.results(*[f"sget={key}" for key in keys])


def log_in(client, *calls, user="ann", **more):
    answer = client.probe(f"sset={USER}:{user}", f"sset={PASSWORD}:t0psecret", *calls, **more)
    assert "t0psecret" not in str(answer.headers)
    return answer


def refused(answer):
    """One clean 503: nothing of what the answer was going to say."""
    assert answer.status == 503 and int(answer.header("Retry-After")) >= 1, answer
    assert answer.all("Set-Cookie") == [] and answer.header("Location") is None
    return True
