import sys
from pathlib import Path

import pytest
from fakes.tensorrt import FakeTensorRT
from fakes.tensorrt_run import ILogger

from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.tensorrt.package import (
    INSTALL,
    MODULES,
    TENSORRT,
    TENSORRT_RTX,
    TensorRTError,
    is_installed,
    load_tensorrt,
)

HERE = "class Builder: pass\nclass ILogger:\n    ERROR = 1\n    def __init__(self): pass\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch):
    """A folder that alone is searched for packages, and what `install` puts there."""
    ours = [name for names in MODULES.values() for name in names]
    for name in [key for key in sys.modules if key.partition(".")[0] in ours]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def install(name: str, text: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)

    yield install
    for name in ours:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("package", [TENSORRT, TENSORRT_RTX])
def test_a_missing_package_says_what_to_install(packages, package):
    assert not is_installed(package)
    with pytest.raises(UsageError) as error:
        load_tensorrt(package)
    assert str(error.value) == f"{package} is not installed ({INSTALL[package]})"


@pytest.mark.parametrize("package", [TENSORRT, TENSORRT_RTX])
@pytest.mark.parametrize("which", [0, 1])
def test_the_interface_is_found_under_either_name(packages, package, which):
    packages(MODULES[package][which], HERE + "__version__ = '11.2.0'")
    found = load_tensorrt(package)
    assert str(found) == f"{package} 11.2.0"
    assert found.is_rtx == (package == TENSORRT_RTX)
    assert found.module.__name__ == MODULES[package][which]
    assert load_tensorrt(package).log is found.log


def test_a_package_without_its_libraries_says_so_in_one_line(packages):
    packages("tensorrt", "from tensorrt_bindings import *")
    packages("tensorrt_bindings", "raise ImportError('libnvinfer.so.11: cannot\\nopen')")
    with pytest.raises(UsageError) as error:
        load_tensorrt(TENSORRT)
    assert str(error.value) == (
        "tensorrt is installed without its libraries: libnvinfer.so.11: cannot open "
        f"({INSTALL[TENSORRT]})"
    )


def test_a_placeholder_without_the_interface_is_no_package(packages):
    packages("tensorrt_rtx", "__version__ = '0.0.1.dev5'")
    with pytest.raises(UsageError, match="without its libraries: it has no Builder"):
        load_tensorrt(TENSORRT_RTX)


@pytest.mark.parametrize(
    ("package", "version", "oldest"),
    [(TENSORRT, "10.8.0.43", "10.9"), (TENSORRT_RTX, "1.1.1", "1.2")],
)
def test_a_version_that_is_too_old_is_refused(packages, package, version, oldest):
    packages(MODULES[package][0], HERE + f"__version__ = {version!r}")
    with pytest.raises(UsageError, match=f"{package} is {version}, older than {oldest}"):
        load_tensorrt(package)


def test_an_unknown_package_is_refused():
    with pytest.raises(UsageError, match="'tensorrt_rtx' is not one of tensorrt, tensorrt-rtx"):
        load_tensorrt("tensorrt_rtx")


def test_messages_are_kept_while_someone_listens_and_errors_name_the_last():
    fake = FakeTensorRT()
    with fake.tensorrt.listening() as messages:
        for number in range(5):
            fake.logged(ILogger.ERROR, f"wrong\n {number}")
        fake.logged(ILogger.INFO, "fine")
    fake.logged(ILogger.INFO, "unheard")
    assert messages[-2:] == ["wrong\n 4", "fine"]
    refusal = fake.tensorrt.refusal("cannot build the encoder", fix="wait")
    assert isinstance(refusal, TensorRTError)
    assert str(refusal) == (
        "tensorrt 11.0.0 cannot build the encoder: wrong 2; wrong 3; wrong 4 (wait)"
    )
    with fake.tensorrt.listening() as messages:
        assert messages == []
    assert str(fake.tensorrt.refusal("failed")).endswith("failed: it does not say why")


@pytest.mark.tensorrt
@pytest.mark.skipif(not is_installed(TENSORRT_RTX), reason="tensorrt-rtx is not installed")
def test_the_installed_tensorrt_rtx_is_found():
    found = load_tensorrt(TENSORRT_RTX)
    assert found.is_rtx
    assert found.version == found.module.__version__
    with found.listening() as messages:
        found.module.Builder(found.log).create_network()
    assert not found.log.errors, messages
