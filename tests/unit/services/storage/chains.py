"""Chains of revisions as tests want them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from services.storage.migrations.chain import Chain


def chain_of(
    folder: Path, *scripts: str, dialect: Literal["sqlite", "postgresql"] = "sqlite"
) -> Chain:
    """One revision for each script."""
    for number, script in enumerate(scripts, 1):
        (folder / f"r{number:04}_step.py").write_text(
            f'"""Step."""\nfrom alembic import op\n\nrevision = "{number:04}"\n'
            f"down_revision = {f'{number - 1:04}' if number > 1 else None!r}\n\n"
            f"def upgrade():\n    op.execute({script!r})\n"
        )
    return Chain(folder, dialect)
