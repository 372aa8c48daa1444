import os

import pytest
from concordance_inference.keys.private_file import write_private


def test_a_file_is_made_with_its_folder_for_its_owner_only(tmp_path):
    path = tmp_path / "state" / "file"

    write_private(path, b"one")
    write_private(path, b"two")

    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_file_that_exists_is_not_replaced_if_it_shall_not_be(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")

    with pytest.raises(FileExistsError):
        write_private(path, b"two", replaces=False)
    assert path.read_text() == "one"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_root_writes_belongs_to_the_owner_of_the_folder(tmp_path):
    os.chown(tmp_path, 12345, 12345)

    write_private(tmp_path / "file", b"one")

    assert (tmp_path / "file").stat().st_uid == 12345
