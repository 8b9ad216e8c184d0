"""Owns which files a file manager leaves in a folder that somebody has looked into.

Does not remove any: who lists a folder of data passes them over.
"""

# Of macOS, Windows, KDE, Synology and archives that were packed on macOS.
_NAMES = frozenset(
    (
        *(".ds_store", ".localized", "icon\r", "__macosx", ".appledouble", ".spotlight-v100", ".fseventsd"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"),
        *(".directory", "@eadir"),
    )
)
_PREFIXES = ("._", ".trash", "thumbs.db:", "desktop.ini:")


def is_leftover(name: str) -> bool:
    """Say whether a file manager, and not a user or this program, made an entry of a folder.

    Args:
      name: without its folder.
    """
    name = name.lower()
    return name in _NAMES or name.startswith(_PREFIXES)
