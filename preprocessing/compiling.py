"""Compiles what every event passes through (mypyc): ``python -m preprocessing.compiling``.

Needs a C compiler and what requirements/compile.txt lists; without them nothing is lost but speed,
which ``--required`` does not put up with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from preprocessing.compiled import FOLDER, MODULES, SOURCES, folder, is_whole

#: In a process of its own: setuptools takes over its process's arguments, folder and output.
_BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import setup

target, temporary, *modules = sys.argv[1:]
setup(
    name="preprocessing",
    packages=[],
    py_modules=[],
    ext_modules=mypycify(
        ["--config-file=", "--explicit-package-bases", *modules],
        opt_level="3",
        target_dir=temporary,
        group_name="preprocessing.native",
    ),
    script_args=["--quiet", "build_ext", f"--build-lib={target}", f"--build-temp={temporary}"],
)
"""


class CannotCompile(RuntimeError):
    """Why there are no compiled modules, and what to do about it."""


def compile_modules() -> Path:
    """Compile, unless it was done already; where the modules are. Raises CannotCompile."""
    where = folder()
    if is_whole(where):
        return where
    with tempfile.TemporaryDirectory(prefix="ztad-compile-") as temporary:
        built = Path(temporary, "built")
        _build(built, Path(temporary, "work"))
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        shutil.copytree(built / "preprocessing", where)
    return where


def _build(target: Path, temporary: Path) -> None:
    names = [f"{SOURCES.name}/{name}.py" for name in MODULES]
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(target), str(temporary), *names],
        cwd=SOURCES.parent, capture_output=True, text=True, check=False,
        env=os.environ | {"MYPY_CACHE_DIR": str(temporary / "mypy")},
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no word of why").splitlines()[-1]
        raise CannotCompile(
            f"cannot compile ({said}); Debian, Ubuntu: apt install gcc libc6-dev, then make compile"
        )


def main() -> int:
    """Exit code 1 if it failed and was required, else 0: ztad works without."""
    parser = argparse.ArgumentParser(prog="python -m preprocessing.compiling")
    parser.add_argument("--required", action="store_true", help="fail without a compiler")
    args = parser.parse_args()
    try:
        where = compile_modules()
    except CannotCompile as error:
        print(f"the history runs uncompiled, about half as fast: {error}", file=sys.stderr)
        return int(args.required)
    print(f"compiled {len(MODULES)} modules into {where.relative_to(SOURCES.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
