"""The cache folder: whose it may be."""

from __future__ import annotations

import os

import pytest

from mreactor_ref.cache import CACHE_VARIABLE, cache_folder
from mreactor_ref.errors import UsageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_the_one_that_is_named_and_need_not_exist(folder):
    assert cache_folder() == folder
    folder.mkdir(mode=0o700)
    assert cache_folder() == folder


def test_a_folder_that_every_user_can_write_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(UsageError, match=r"every user can write .*set \$MREACTOR_CACHE"):
        cache_folder()


def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    owner = folder.stat().st_uid
    monkeypatch.setattr("mreactor_ref.cache.ROOT_USER", owner + 1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 2)
    with pytest.raises(UsageError, match="belongs to another user"):
        cache_folder()
