#!/usr/bin/python3
"""As CGI; see applications.py."""
import json
import os
import sys
import urllib.parse

query = dict(urllib.parse.parse_qsl(os.environ["QUERY_STRING"], keep_blank_values=True))
key = query.get("k", "")
value = os.environb.get(b"BSESSION_" + key.encode())
cookie = os.environb.get(b"HTTP_COOKIE")
said = [line for line in query.get("say", "").split("\n") if line]
if "put" in query:
    said.append("BSession-Set: " + urllib.parse.urlencode({key: bytes.fromhex(query["put"])}))
if "long" in query:
    said.append(f"BSession-Set: {key}=" + "x" * int(query["long"]))
if "status" in query:
    said.append("Status: " + query["status"])
sys.stdout.write("".join(line + "\n" for line in ["Content-Type: application/json", *said, ""]))
json.dump({"value": None if value is None else value.hex(),
           "cookie": None if cookie is None else cookie.hex(),
           "headers": [name for name in os.environ if name.startswith("HTTP_BS")]}, sys.stdout)
