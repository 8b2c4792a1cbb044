"""Stores that are killed, stopped, cut off and refused, under a real httpd, and their way back."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "http"))

from fixtures import *  # noqa: E402, F401, F403

import httpd  # noqa: E402

# no daemon of mod_cgid's among those that are killed, stopped and restarted: it has races of its own
httpd.Httpd.cgi_by_default = "cgi"
