import shutil

from concordance_inference.models.build import build_of, model_hash
from tiny_folder import write_tiny_folder


def test_a_model_hash_is_equal_for_copies_and_another_for_other_weights(tmp_path):
    model = write_tiny_folder(tmp_path / "tiny")
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("a copy")
    assert model_hash([model]) == model_hash([tmp_path / "copy"])

    weights = tmp_path / "copy" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)

    assert model_hash([model]) != model_hash([tmp_path / "copy"])
    assert model_hash([model]) != model_hash([model, tmp_path / "copy"])


def test_a_build_names_model_versions_and_device(tmp_path):
    build = build_of([write_tiny_folder(tmp_path / "tiny")])

    assert list(build) == ["model", "concordance", "mlx", "device"]
    assert build["model"].startswith("sha256:")
    assert all(build.values())


def test_a_folder_that_cannot_be_read_has_no_hash(tmp_path):
    assert model_hash([tmp_path / "none"]) == ""
