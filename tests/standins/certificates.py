"""certificates: a certificate authority made with openssl(1) when a test starts, trusted by nobody
but who is given its file."""
import pathlib
import subprocess


def openssl(*arguments, **options):
    """Runs openssl and returns what it printed."""
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True,
                          **options).stdout


class Authority:
    """`certificate` is the CA's file (for TLS_CA_FILE); issue() makes a server's pair of files."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.certificate = self._directory / "ca.pem"
        self._key = self._directory / "ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self._key, "-out", self.certificate, "-days", "2",
                "-subj", "/CN=Test authority",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, subject="DNS:localhost,IP:127.0.0.1"):
        """(certificate file, key file) of a server that is `subject`."""
        certificate, key, request, extensions = (
            self._directory / f"{name}.{ending}" for ending in ("pem", "key", "csr", "ext"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text(f"subjectAltName={subject}\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
                "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key
