"""The key of uploads to a server without keys: the first start makes it, commands find it."""

from pathlib import Path

from concordance_inference.keys.key import SECRET, new_secret
from concordance_inference.keys.private_file import write_private
from concordance_inference.keys.state_folder import state_folder


def upload_key_path() -> Path:
    """Return the file of the key."""
    return state_folder() / "upload.key"


def found_upload_key(path: Path | None = None) -> str | None:
    """Return the key in a file; `None` if there is none."""
    try:
        text = (path or upload_key_path()).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return None
    return text if SECRET.fullmatch(text) else None


def made_upload_key(path: Path | None = None) -> str:
    """Return the key in a file, which is made if it has none.

    Raises:
        OSError: The file cannot be written.
        RuntimeError: There is no home folder.
    """
    path = path or upload_key_path()
    if found := found_upload_key(path):
        return found
    secret = new_secret("mods:write")
    try:
        write_private(path, f"{secret}\n".encode(), replaces=path.exists())
    except FileExistsError:  # another server has made it meanwhile
        return found_upload_key(path) or secret
    return secret
