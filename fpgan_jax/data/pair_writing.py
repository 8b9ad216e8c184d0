"""Writing pairs as files of both images side by side, as pix2pix's "aligned" loader reads them."""

import collections
import os
import pathlib

import numpy as np
from PIL import Image

from fpgan_jax.data.pairs import UNKNOWN, Pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole


def write_pairs(pairs: Pairs, out_dir: str | os.PathLike) -> list[pathlib.Path]:
    """Write every pair as a PNG file, condition left and print right; the same pairs written again replace the files.

    Args:
      pairs: what to write.
      out_dir: the files go to its folder `train`, named `<person>_<replica>.png`, or as the pairs' own files if not
        everybody is known.

    Returns:
      The files' paths, in the order of the pairs, which is also the order of their names.

    Raises:
      UserError: `train` holds other files, two pairs would have the same name, or condition and print differ in their
        number of channels.

    Source: Cordeiro & Saito, section 4 (pairs of 512x256); differs in: nothing.
    """
    first = pairs[0]
    if first["noise_image"].shape != first["real_image"].shape:
        raise UserError(
            f"config.data.condition: {first['noise_image'].shape[-1]} channels do not fit into a picture beside the "
            "print; launch.train_gan makes these pairs from the prints itself"
        )
    folder = pathlib.Path(out_dir) / "train"
    paths = [folder / name for name in _name_pairs(pairs)]
    _make_folder(folder, {path.name for path in paths})
    with create_progress(len(paths), "writing pairs", "pairs") as progress:
        for index, path in enumerate(paths):
            pair = pairs[index]
            image = np.concatenate([pair["noise_image"], pair["real_image"]], axis=1)
            with write_whole(path, "wb") as file:
                Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, format="PNG")
            progress.update()
    return paths


def _name_pairs(pairs: Pairs) -> list[str]:
    ids = [pairs.identify(index) for index in range(len(pairs))]
    if (UNKNOWN, UNKNOWN) in ids:
        names = [f"{pathlib.Path(name).stem}.png" for name in pairs.names]
        name, count = collections.Counter(names).most_common(1)[0]
        if count > 1:
            raise UserError(f"{name}: two pairs' files have this name, except for the ending; rename one")
        return names
    # With equal widths the order of names is that of numbers.
    person_width = max(3, *(len(str(person)) for person, _ in ids))
    replica_width = max(2, *(len(str(replica)) for _, replica in ids))
    return [f"{person:0{person_width}d}_{replica:0{replica_width}d}.png" for person, replica in ids]


def _make_folder(folder: pathlib.Path, own_names: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # A killed run leaves the temporary file of a file that is written again now.
    others = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.removesuffix(TEMPORARY_ENDING) not in own_names and not is_leftover(entry.name)
    )
    if others:
        raise UserError(
            f"{folder}: holds {len(others)} files that are not of these pairs, for example {others[0]}; "
            "empty it or choose another --out_dir"
        )
