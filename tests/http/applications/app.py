"""As WSGI; see applications.py."""
import json
import urllib.parse


def as_bytes(text):
    """WSGI hands bytes over as Latin-1, one character each."""
    return None if text is None else text.encode("latin-1").hex()


def application(environ, start_response):
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    key = query.get("k", "")
    said = [tuple(line.split(": ", 1)) for line in query.get("say", "").split("\n") if line]
    if "put" in query:
        said.append(("BSession-Set", urllib.parse.urlencode({key: bytes.fromhex(query["put"])})))
    if "long" in query:
        said.append(("BSession-Set", f"{key}=" + "x" * int(query["long"])))
    start_response(query.get("status", "200") + " Answer",
                   [("Content-Type", "application/json"), *said])
    return [json.dumps({"value": as_bytes(environ.get(f"BSESSION_{key}")),
                        "cookie": as_bytes(environ.get("HTTP_COOKIE")),
                        "headers": [name for name in environ if name.startswith("HTTP_BS")],
                        }).encode()]
