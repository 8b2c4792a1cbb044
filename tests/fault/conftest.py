"""Stores that are killed, stopped, cut off and refused, under a real httpd, and their way back."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "http"))

from fixtures import *  # noqa: E402, F401, F403
