"""What an application uses Celery for, and where: read from its files alone, nothing of it is imported.

inventory(Path("reflector")).to_json()
"""

from __future__ import annotations

from pathlib import Path

from playbook.inventory.collect import collect
from playbook.inventory.models import Inventory, InventoryError

__all__ = ["Inventory", "InventoryError", "inventory"]


def inventory(root: Path) -> Inventory:
    """Return the inventory of the application in the folder `root`.

    The folder is a package itself if it holds `__init__.py`; otherwise modules are relative to it or `src/`.
    Raises InventoryError if it cannot be read at all; files that cannot be parsed are in the list `refused`.
    """
    return collect(root)
