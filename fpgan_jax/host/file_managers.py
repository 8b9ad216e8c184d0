"""Owns which files a file manager leaves in a folder, so that lists of data can skip them."""

# From macOS, Windows, KDE, Synology and archives packed on macOS.
_NAMES = frozenset(
    (
        *(".ds_store", ".localized", "icon\r", "__macosx", ".appledouble", ".spotlight-v100", ".fseventsd"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"),
        *(".directory", "@eadir"),
    )
)
_PREFIXES = ("._", ".trash", "thumbs.db:", "desktop.ini:")


def is_leftover(name: str) -> bool:
    """Return whether a file manager made an entry of a folder, given its name without the folder."""
    name = name.lower()
    return name in _NAMES or name.startswith(_PREFIXES)
