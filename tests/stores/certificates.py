"""Certificates that a test makes for itself, by the openssl program."""

import pathlib
import subprocess

CONFIG = """
[ca]
default_ca = this
[this]
database = {dir}/index
serial = {dir}/serial
new_certs_dir = {dir}
certificate = {dir}/{name}.pem
private_key = {dir}/{name}.key
default_md = sha256
default_days = 2
policy = any
email_in_dn = no
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """A CA of its own; its certificate is `pem`."""

    def __init__(self, directory, name="ca"):
        self.dir = pathlib.Path(directory) / name
        self.dir.mkdir()
        self.dir.chmod(0o755)
        self.name = name
        self.pem = self.dir / f"{name}.pem"
        (self.dir / "index").touch()
        (self.dir / "config").write_text(CONFIG.format(dir=self.dir, name=name))
        self._openssl("req", "-x509", *self._new_key(name), "-days", "2", "-subj", f"/CN={name}",
                      "-addext", "keyUsage=critical,keyCertSign", "-out", self.pem)

    def issue(self, name, names="", expired=False):
        """A key and a certificate for these names, such as "DNS:localhost,IP:127.0.0.1"; their paths."""
        key, request, pem = (self.dir / f"{name}.{end}" for end in ("key", "csr", "pem"))
        self._openssl("req", *self._new_key(name), "-subj", f"/CN={name}", "-out", request)
        (self.dir / "names").write_text(f"subjectAltName={names}\n" if names else "")
        dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"] if expired else []
        self._openssl("ca", "-batch", "-notext", "-config", self.dir / "config", "-extfile",
                      self.dir / "names", *dates, "-in", request, "-out", pem)
        return key, pem

    def _new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                self.dir / f"{name}.key"]

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
