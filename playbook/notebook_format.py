"""nbformat, imported without what no notebook needs.

nbformat imports jsonschema, and that builds the grammar of internationalised addresses (the package
rfc3987-syntax) whenever it is installed, which takes more than a second. The schemas of notebooks ask for no
such address (nbformat/v4/*.json).
"""

import sys

_GRAMMAR = "rfc3987_syntax"
_MODULES: dict[str, object] = sys.modules  # type: ignore[assignment]

# None makes an import fail (docs: reference/import, "The module cache"); jsonschema then goes without.
_loaded = _MODULES.setdefault(_GRAMMAR, None)
try:
    import nbformat
finally:
    if _loaded is None:
        del _MODULES[_GRAMMAR]

__all__ = ["nbformat"]
