"""Videos that the user's certificate signs: what the statement says, and keys that cannot sign."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.results import write_run
from fakes.runs import write_clip

from mreactor_ref.errors import UsageError
from mreactor_runtime.convert.result import read_result
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.view.command import main
from mreactor_runtime.view.credentials import LABEL, Credentials, Signing

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")
x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def authority(folder: Path, curve: str = "SECP256R1") -> Signing:
    """A certificate that may sign, and that of an authority which nobody knows."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    above, own = (ec.generate_private_key(getattr(ec, curve)()) for _ in range(2))

    def certificate(name: str, key: Any, is_authority: bool) -> Any:
        usage = [True, False, False, False, False, is_authority, is_authority, False, False]
        names = [
            x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])
            for text in (name, "Authority")
        ]
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(names[1], names[0], key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.KeyUsage(*usage), critical=True)
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key())
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(identifier, critical=False)
        if not is_authority:
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(above, SHA256()).public_bytes(Encoding.PEM)

    signing = Signing(folder / "chain.pem", folder / "key.pem")
    chain = certificate("Signer", own, False) + certificate("Authority", above, True)
    signing.certificates.write_bytes(chain)
    private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signing.key.write_bytes(private)
    return signing


def test_a_signed_video_says_that_it_is_generated(tmp_path: Path):
    write_clip(tmp_path / "clips", "a", 0.4)
    (tmp_path / "clips/a.srt").unlink()
    write_run(tmp_path / "out", {"a": 10})
    signing = authority(tmp_path)
    done = CliRunner().invoke(
        main,
        [
            *(str(tmp_path / "out"), "--video", "a", "--input", str(tmp_path / "clips")),
            *("--c2pa-certificates", str(signing.certificates), "--c2pa-key", str(signing.key)),
        ],
    )
    assert done.exit_code == 0, done.output
    videos = tmp_path / "out/view/videos"
    assert [path.name for path in videos.iterdir()] == ["a.mp4"]
    with c2pa.Reader(str(videos / "a.mp4")) as reader:
        told = json.loads(reader.json())
    assert told["validation_state"] == "Valid"
    statement = told["manifests"][told["active_manifest"]]
    data = {one["label"]: one["data"] for one in statement["assertions"]}
    [action] = data["c2pa.actions.v2"]["actions"]
    kind = action["digitalSourceType"].rsplit("/", 1)[-1]
    assert (action["action"], kind) == ("c2pa.created", "compositeWithTrainedAlgorithmicMedia")
    provenance = read_result(tmp_path / "out/a.npz").provenance
    assert Provenance.from_json(json.dumps(data[LABEL])) == provenance


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [("certificates", "holds no certificates as PEM"), ("key", "is no private key")],
)
def test_what_cannot_sign_is_told_before_any_work(spoilt: str, words: str, tmp_path: Path):
    signing = authority(tmp_path)
    getattr(signing, spoilt).write_bytes(b"nothing")
    with pytest.raises(UsageError, match=words):
        Credentials(signing)


def test_a_key_must_be_that_of_the_certificate(tmp_path: Path):
    (tmp_path / "other").mkdir()
    other = authority(tmp_path / "other")
    with pytest.raises(UsageError, match="is not that of the key"):
        Credentials(Signing(authority(tmp_path).certificates, other.key))


def test_a_curve_that_c2pa_does_not_know_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="of a kind that C2PA does not sign with"):
        Credentials(authority(tmp_path, "SECP256K1"))


def test_a_certificate_without_its_key_is_a_usage_error(tmp_path: Path):
    signing = authority(tmp_path)
    done = CliRunner().invoke(
        main, [str(tmp_path), "--c2pa-certificates", str(signing.certificates)]
    )
    assert done.exit_code == 2
    assert "give both of them" in done.output
