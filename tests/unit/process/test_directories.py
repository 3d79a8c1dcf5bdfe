import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.adapters.process.directories import RefusedError, RunDir, held_data_dir, run_dir_path

TREE = "0123456789abcdef"


def test_the_data_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with held_data_dir(tmp_path / "new" / "data") as held:
        assert held.stat().st_mode & 0o777 == 0o700
        assert (held / "serve.lock").read_text() == f"{os.getpid()}\n"


def test_a_held_data_directory_is_refused_with_its_holder_and_a_remedy(tmp_path: Path) -> None:
    with (
        held_data_dir(tmp_path),
        pytest.raises(RefusedError, match=rf"pid {os.getpid()}\).*--data-dir"),
        held_data_dir(tmp_path),
    ):
        pass


def test_a_released_data_directory_can_be_held_again(tmp_path: Path) -> None:
    with held_data_dir(tmp_path):
        pass
    with held_data_dir(tmp_path) as held:
        assert held == tmp_path


def test_children_do_not_hold_the_lock(tmp_path: Path) -> None:
    with held_data_dir(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True, close_fds=False
        )
    with child, held_data_dir(tmp_path):
        child.kill()


def test_a_file_in_place_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match="--data-dir"), held_data_dir(tmp_path / "file"):
        pass


def test_the_temporary_directory_follows_a_short_tmpdir() -> None:
    assert run_dir_path(TREE, "/run/user/1000") == Path("/run/user/1000/ezt-01234567")


@pytest.mark.parametrize("tmpdir", [None, "", "relative", "/" + "long" * 8])
def test_the_temporary_directory_is_in_tmp_otherwise(tmpdir: str | None) -> None:
    assert run_dir_path(TREE, tmpdir) == Path("/tmp/ezt-01234567")


def test_a_taken_over_temporary_directory_is_closed_to_others_and_wiped(tmp_path: Path) -> None:
    path = tmp_path / "ezt"
    (path / "deep" / "er").mkdir(parents=True)
    (path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (path / "link").symlink_to(tmp_path / "elsewhere")
    path.chmod(0o777)
    with RunDir.claimed(path) as temp:
        temp.wipe()
        assert list(path.iterdir()) == []
        assert path.stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "elsewhere").exists()
        (path / "new").touch()
        temp.remove()
    assert not path.exists()


def test_a_link_in_place_of_the_temporary_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "ezt").symlink_to(tmp_path / "precious")
    with pytest.raises(RefusedError, match="TMPDIR"), RunDir.claimed(tmp_path / "ezt"):
        pass
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RefusedError, match="TMPDIR"), RunDir.claimed(tmp_path / "dangling"):
        pass
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_temporary_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ezt").mkdir()
    os.chown(tmp_path / "ezt", 12345, 12345)
    with pytest.raises(RefusedError, match="another user"), RunDir.claimed(tmp_path / "ezt"):
        pass


def test_a_temporary_directory_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ezt"
    with RunDir.claimed(path), pytest.raises(RefusedError), RunDir.claimed(path):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_others_may_not_write_in_a_data_directory_that_was_there(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with held_data_dir(tmp_path):
        assert tmp_path.stat().st_mode & 0o022 == 0
