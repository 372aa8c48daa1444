from concordance_inference.keys.key import SECRET
from concordance_inference.keys.upload_key import found_upload_key, made_upload_key


def test_the_key_is_made_once_and_found_again(tmp_path):
    path = tmp_path / "state" / "upload.key"
    assert found_upload_key(path) is None

    made = made_upload_key(path)

    assert SECRET.fullmatch(made)
    assert made_upload_key(path) == found_upload_key(path) == made
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_without_a_key_gets_one(tmp_path):
    path = tmp_path / "upload.key"
    path.write_text("something else")
    assert found_upload_key(path) is None

    made = made_upload_key(path)

    assert found_upload_key(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
