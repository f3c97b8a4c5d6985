"""What was kept of other code is not taken for this one's."""

import shutil
from pathlib import Path

import studio.data
from studio.data.code_version import CODE_VERSION, digest_of


def test_any_change_of_the_code_is_another_version(tmp_path: Path) -> None:
    own = Path(studio.data.__file__).parent
    copy = tmp_path / "data"
    shutil.copytree(own, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert digest_of(copy) == digest_of(own) == CODE_VERSION
    met = {CODE_VERSION}
    for path in sorted(copy.rglob("*.py")):
        source = path.read_bytes()
        path.write_bytes(source + b"#")
        met.add(digest_of(copy))
        path.write_bytes(source)
    assert len(met) == 1 + len(list(copy.rglob("*.py")))
    (copy / "checks.py").rename(copy / "checks_.py")
    met.add(digest_of(copy))
    (copy / "more.py").touch()
    met.add(digest_of(copy))
    assert len(met) == 3 + len(list(own.rglob("*.py")))
