"""A small file system of a test's own, for root; others get the reason why not."""

import os
import pathlib
import subprocess
import tempfile

import pytest


class FileSystem:
    """A tmpfs, in which others than root can make nothing."""

    def __init__(self, options):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-small-"))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0755,{options}", "bsession", self.dir],
                              capture_output=True, text=True)
        if done.returncode:
            self.dir.rmdir()
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        self.filler = self.dir / "filler"

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.dir], check=True)

    def fill(self):
        """No byte is left."""
        with open(self.filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    def use_inodes(self):
        """No file can be made."""
        try:
            for i in range(1000000):
                (self.dir / f"filler{i}").touch()
        except OSError:
            pass

    def free(self):
        for path in self.dir.glob("filler*"):
            path.unlink()

    def remove(self):
        subprocess.run(["umount", "-l", self.dir], check=True)
        os.rmdir(self.dir)
