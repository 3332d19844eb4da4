"""A certificate for loopback, made by openssl: ECDSA on P-256, as most of the web has it."""

import subprocess

CERTIFICATE, KEY, BOTH = "certificate.pem", "key.pem", "both.pem"


def write(folder):
    """Writes certificate, key, and the two in one file to the folder."""
    certificate, key = folder / CERTIFICATE, folder / KEY
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    argv += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    if made.returncode != 0:
        raise RuntimeError(f"openssl made no certificate:\n{made.stderr}")
    (folder / BOTH).write_text(certificate.read_text() + key.read_text())
