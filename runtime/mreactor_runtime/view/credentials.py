"""Content Credentials (C2PA) of a video: a signed statement in the file that it is generated.

The certificate is the user's own: whether others trust it is between them. Nothing is asked over a
network, so the signature has no time of a third party.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_runtime.provenance import PACKAGE, Provenance

MP4 = "video/mp4"
GENERATED = "trainedAlgorithmicMedia"
WITH_SOUND = "compositeWithTrainedAlgorithmicMedia"  # which is a real person's
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"  # IPTC's terms
LABEL = f"org.{PACKAGE}.provenance"
CHAIN = "give your own first, which may sign (C2PA says which do), then those above it"
KEYS = "give an EC key of P-256 or P-384, an Ed25519 or an RSA key, as PEM without a password"


@dataclass(frozen=True)
class Signing:
    """Who signs.

    Attributes:
        certificates: PEM, the signer's own first, then those above it. key: PEM, of the first.
    """

    certificates: Path
    key: Path


class Credentials:
    """Signs videos.

    Raises:
        UsageError: c2pa-python is not installed, or the certificate or key is none.
    """

    def __init__(self, signing: Signing):
        try:
            import c2pa
        except ModuleNotFoundError:
            fix = 'pip install "mreactor[c2pa]"'
            raise UsageError("c2pa-python is not installed", fix=fix) from None
        self._c2pa: Any = c2pa
        key, certificates = _read(signing.key), _read(signing.certificates)
        private = _private(key, signing.key)
        _check_chain(certificates, private, signing.certificates)
        info = c2pa.C2paSignerInfo(_algorithm(private, signing.key), certificates, key, None)
        self._signer = c2pa.Signer.from_info(info)

    def sign(self, path: Path, provenance: Provenance, has_sound: bool) -> None:
        """Put the statement into an mp4.

        Raises:
            UsageError: the certificate is not one that may sign.
        """
        statement = manifest(provenance, has_sound)
        signed = path.with_name(path.name + ".signed")
        try:
            with (
                self._c2pa.Builder(json.dumps(statement)) as builder,
                path.open("rb") as source,
                signed.open("w+b") as target,
            ):
                builder.sign(self._signer, MP4, source, target)
            signed.replace(path)
        except self._c2pa.C2paError as error:
            raise UsageError(f"the video cannot be signed: {error}", fix=CHAIN) from None
        finally:
            signed.unlink(missing_ok=True)


def manifest(provenance: Provenance, has_sound: bool) -> dict[str, Any]:
    """What is signed."""
    kind = SOURCES + (WITH_SOUND if has_sound else GENERATED)
    program = {"name": PACKAGE} | ({"version": provenance.version} if provenance.version else {})
    action = {"action": "c2pa.created", "digitalSourceType": kind}
    return {
        "claim_generator_info": [program],
        "title": provenance.clip,
        "format": MP4,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": LABEL, "data": provenance.to_dict()},
        ],
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", path) from None


def _private(key: bytes, path: Path) -> Any:
    """The key of a PEM. Raises UsageError."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise UsageError("is no private key that can be read", path, KEYS) from None


def _check_chain(certificates: bytes, private: Any, path: Path) -> None:
    """Raises UsageError: they are no certificates, or the first is not the key's."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        first = load_pem_x509_certificates(certificates)[0]
    except ValueError:
        raise UsageError("holds no certificates as PEM", path, CHAIN) from None
    if first.public_key() != private.public_key():
        raise UsageError("its first certificate is not that of the key", path, CHAIN)


def _algorithm(private: Any, path: Path) -> bytes:
    """The name that C2PA has for what a key signs with. Raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey):
        name = {"secp256r1": b"es256", "secp384r1": b"es384"}.get(private.curve.name)
    else:
        kinds = {ed25519.Ed25519PrivateKey: b"ed25519", rsa.RSAPrivateKey: b"ps256"}
        name = next((name for kind, name in kinds.items() if isinstance(private, kind)), None)
    if name is None:
        raise UsageError("is a key of a kind that C2PA does not sign with", path, KEYS)
    return name
