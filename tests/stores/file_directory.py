"""A directory for the file store, which is there as long as a test run."""

import pathlib
import shutil
import tempfile


class Directory:
    """One that httpd's children can walk into; httpd makes the store's own in it."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-files-"))
        self.dir.chmod(0o755)

    def stop(self):
        shutil.rmtree(self.dir)


def start_as(_):
    """It, and the words of its BSessionStore line."""
    made = Directory()
    return made, f"file:{made.dir}/sessions"
