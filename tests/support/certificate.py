"""Certificates that a test makes as it runs."""
import subprocess

LOCAL = "DNS:localhost,IP:127.0.0.1"


def certificate(directory, name, names=LOCAL, signer=None):
    """Two PEM files, certificate and key; signer is what made another one.

    Without a signer it signs itself, and can sign others.
    """
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    by = ["-CA", signer[0], "-CAkey", signer[1]] if signer else []
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", f"/CN={name}", "-addext",
         f"subjectAltName={names}", *by],
        check=True, capture_output=True, timeout=30)
    return cert, key
