"""What no log may tell: the tokens, the values and the secrets that a test's clients and its
configuration use. Each server has a list of them, which grows by itself, and searches its logs for them
whenever a test ends."""

import base64
import pathlib
import re
import urllib.parse

PIECE = 20
LENGTHS = (43, 64)
# as the probe and the applications of the tests are told what to store; see mod_probe.c
STORED = re.compile(r"(?:^|[&;/])(?:set|setn|add|sset|cset|cadd|sstore)=[^:&;]*:([^&;]*)")
FORMS = re.compile(r"(?:^|&)(?:httpd_password)=([^&]*)")
# of a configuration; what follows // stands in URLs
SECRETS = [re.compile(p, re.I | re.M) for p in (r"\b(?:\w+_)?password=\"?([^\s\"']+)", r"//[^\s/@:]*:([^\s/@]+)@",
                                                r"^\s*AuthFormSitePassphrase\s+(\S+)")]
SEVERAL = re.compile(r"^\s*BSessionSecret +(.+)$", re.I | re.M)
# shorter ones are words of any sentence
SHORTEST = 6
# what a module of the tests says itself, when a test asks it to
OUR_OWN = re.compile(r"^\[(?:probe|session_probe|fault):.*$", re.M)


def pieces(token):
    """What would give a token away: parts of its text and of its bytes' digits, where the selector ends
    and the verifier is, and the record's whole key."""
    whole = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return {token[22:22 + PIECE], whole[:16].hex()[:PIECE], whole[16:32].hex()[:PIECE]}


def windows(text):
    for run in re.findall(r"[A-Za-z0-9_-]{%d,}" % PIECE, text):
        for at in range(len(run) - PIECE + 1):
            yield run[at:at + PIECE]


class Confidential:
    def __init__(self):
        self.tokens = {}                # piece -> token
        self.values = set()
        self.secrets = set()

    def token(self, text):
        for piece in pieces(text):
            self.tokens[piece] = text

    def value(self, text):
        # what is an address, too, stands in each log
        if len(text) >= SHORTEST and not text.startswith("/"):
            self.values.add(text)

    def secret(self, text, environment):
        """One as it is configured: itself, or where it stands; what a program prints is not looked for."""
        kind, _, place = text.partition(":")
        if kind == "file" and pathlib.Path(place).is_file():
            text = pathlib.Path(place).read_text(errors="replace").strip("\n")
        elif kind == "env":
            text = environment.get(place, "")
        elif kind in ("file", "exec"):
            text = ""
        if len(text) >= SHORTEST:
            self.secrets.add(text)

    def request(self, path, body, cookie):
        """What a request brings: tokens, also those that the client has made up, and values to store."""
        for token in re.findall(r"[\w-]{43,}", cookie, re.A):
            if len(token) in LENGTHS and len(set(token)) > 9:
                self.token(token)
        query = path.partition("?")[2]
        for found in STORED.findall(query):
            self.value(urllib.parse.unquote(found, "latin-1"))
        for name, value in urllib.parse.parse_qsl(query):
            if name == "put" and re.fullmatch("([0-9a-f]{2})+", value):
                self.value(bytes.fromhex(value).decode("latin-1"))
        for found in FORMS.findall(body if isinstance(body, str) else ""):
            self.value(urllib.parse.unquote_plus(found))

    def configuration(self, text, environment):
        found = [one for pattern in SECRETS for one in pattern.findall(text)]
        for line in SEVERAL.findall(text):
            found += [one.strip("\"") for one in re.findall(r"\"[^\"]*\"|\S+", line)]
        for one in found:
            self.secret(one, environment)
            self.secret(urllib.parse.unquote(one), environment)

    def told(self, text, values=True):
        """What a text gives away, in sentences. Values are left out where a log was told to show them."""
        text = OUR_OWN.sub("", text)
        wrong = {f"a token is in the log: {self.tokens[piece]}" for piece in windows(text) if piece in self.tokens}
        wrong |= {f"a secret is in the log: {secret}" for secret in self.secrets if secret in text}
        if values:
            wrong |= {f"a session's value is in the log: {value[:60]}" for value in self.values if value in text}
        return sorted(wrong)
