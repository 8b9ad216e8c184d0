"""The TFDS builder of SOCOFing: from the dataset's folder to records of whole gray prints."""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from google.protobuf import json_format
from PIL import Image

from fpgan_jax.data import image_files, preprocessing
from fpgan_jax.data.socofing import filenames
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.user_paths import expand_path, is_utf8

SPLIT_FOLDERS = {
    "real": "Real",
    "altered_easy": "Altered/Altered-Easy",
    "altered_medium": "Altered/Altered-Medium",
    "altered_hard": "Altered/Altered-Hard",
}
DIFFICULTIES = ("none", "easy", "medium", "hard")
_DIFFICULTY_OF_SPLIT = dict(zip(SPLIT_FOLDERS, DIFFICULTIES, strict=True))

# TFDS warns about every config that its class does not list; those of a user's folder cannot be listed.
logging.get_absl_logger().addFilter(
    lambda record: "Using custom data configuration" not in record.getMessage()
)
tfds.disable_progress_bar()  # five lines; we show one of our own


@dataclasses.dataclass(eq=False)
class SocofingConfig(tfds.core.BuilderConfig):
    """One split of one state of the dataset's folder.

    It is one split, so that a run that needs the 6,000 real files does not wait for the 49,270 altered ones.
    """

    split: str = "real"  # a key of `SPLIT_FOLDERS`
    on_bad_file: str = "stop"  # or "skip"


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds one split; the folder of SOCOFing is TFDS's manual folder.

    Source: Shehu et al. 2018, arXiv:1807.10609; differs in: every image is kept as one gray channel (the
    color channels of every file are equal) and without alpha.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack SOCOFing and name the folder that holds Real/ and Altered/."

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Fingerprints of the Sokoto Coventry Fingerprint Dataset.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "person": np.int32,
                    "gender": tfds.features.ClassLabel(names=filenames.GENDERS),
                    "hand": tfds.features.ClassLabel(names=filenames.HANDS),
                    "finger": tfds.features.ClassLabel(names=filenames.FINGERS),
                    "alteration": tfds.features.ClassLabel(names=filenames.ALTERATIONS),
                    "difficulty": tfds.features.ClassLabel(names=DIFFICULTIES),
                    "filename": tfds.features.Text(),
                }
            ),
            homepage="https://arxiv.org/abs/1807.10609",
            citation="Shehu, Ruiz-Garcia, Palade, James. Sokoto Coventry Fingerprint Dataset. 2018.",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        split = self.builder_config.split
        return {split: self._generate_examples(dl_manager.manual_dir / SPLIT_FOLDERS[split])}

    def _generate_examples(self, folder: pathlib.Path) -> Iterator[tuple[str, dict]]:
        paths = list_files(folder)
        seen: dict[tuple, str] = {}
        num_bad = 0
        for path in _show_progress(paths, self.builder_config.split):
            try:
                name = _parse_name(path, is_altered=self.builder_config.split != "real", seen=seen)
                image = _read_print(path)
            except UserError as error:
                if self.builder_config.on_bad_file == "stop":
                    raise UserError(
                        f"{error}; mend or remove it, or set config.data.on_bad_file=skip"
                    ) from error
                num_bad += 1
                logging.warning("skipped: %s", error)
                continue
            yield (
                path.name,
                {
                    "image": _encode_png(image),
                    "difficulty": _DIFFICULTY_OF_SPLIT[self.builder_config.split],
                    "filename": path.name,
                    **dataclasses.asdict(name),
                },
            )
        if num_bad:
            logging.warning("skipped %d of %d files in %s", num_bad, len(paths), folder)
        if num_bad == len(paths):
            raise UserError(f"config.data.socofing_dir: {folder} holds no readable SOCOFing file")


def prepare(socofing_dir: str, split: str, *, tfds_dir: str = "", on_bad_file: str = "stop") -> Builder:
    """Prepare a split, unless the folder as it is now has been prepared already.

    The records are stored under a hash of the files' names and contents, so that a changed folder never gives old
    records, and a moved one is not prepared again. Nothing is downloaded.

    Args:
      socofing_dir: the folder that holds Real/ and Altered/.
      split: a key of `SPLIT_FOLDERS` whose folder exists.
      tfds_dir: where TFDS keeps its data; "" is TFDS's default.
      on_bad_file: "stop" | "skip".

    Returns:
      The builder, ready for `as_dataset`.

    Raises:
      UserError: the split has no file, or a bad file while on_bad_file is "stop"; tfds_dir cannot be written, or the
        prepared records are damaged.
    """
    folder = pathlib.Path(socofing_dir).resolve()
    fingerprint = _fingerprint(folder / SPLIT_FOLDERS[split], on_bad_file)
    builder_config = SocofingConfig(
        name=f"{split}-{fingerprint}", description=f"Split {split}.", split=split, on_bad_file=on_bad_file
    )
    data_dir = expand_path(tfds_dir) or None
    # TFDS takes a path for a pattern, and only UTF-8.
    if "**" in tfds_dir or not is_utf8(tfds_dir):
        raise UserError(
            f"config.data.tfds_dir: TFDS cannot use {tfds_dir}, which contains ** or is not UTF-8"
        )
    try:
        builder = Builder(data_dir=data_dir, config=builder_config)
    except json_format.ParseError as error:
        raise create_damage_error(builder_config, "dataset_info.json cannot be read") from error
    if builder.data_path.exists():
        if split not in builder.info.splits:
            raise create_damage_error(builder_config, "dataset_info.json lists no prints")
        return builder
    download_config = tfds.download.DownloadConfig(
        manual_dir=folder, try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
    )
    try:
        # TFDS prints a paragraph about a download, though nothing is downloaded.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=download_config)
    except OSError as error:
        # If another process was quicker, the last step fails: TFDS renames its temporary folder.
        if not builder.data_path.exists():
            raise UserError(
                f"config.data.tfds_dir: {builder.data_path} cannot be written ({error})"
            ) from error
        return Builder(data_dir=data_dir, config=builder_config)
    return builder


def create_damage_error(builder_config: SocofingConfig, reason: str) -> UserError:
    """Create the error of a prepared folder that was changed."""
    return UserError(
        f"config.data.tfds_dir: the folder {builder_config.name} that was prepared in it is damaged ({reason}); "
        "delete that one, and the same command prepares it again"
    )


def list_files(folder: str | os.PathLike) -> list[pathlib.Path]:
    """List a split's files in the order of their names, without hidden ones and what file managers leave.

    Raises:
      UserError: the folder is missing or empty.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"config.data.socofing_dir: {folder} is missing; name the folder that holds Real/ and Altered/"
        )
    paths = sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and not is_leftover(path.name)
    )
    if not paths:
        raise UserError(f"config.data.socofing_dir: {folder} is empty")
    return paths


def _show_progress(paths: list[pathlib.Path], split: str) -> Iterator[pathlib.Path]:
    with create_progress(len(paths), f"preparing {split}, once", "files") as progress:
        for path in paths:
            yield path
            progress.update()


def _read_print(path: pathlib.Path) -> np.ndarray:
    image = image_files.read_image(path, num_channels=1)
    if preprocessing.is_blank(preprocessing.crop_frame(image)):
        raise UserError(f"{path}: shows nothing inside SOCOFing's frame")
    return image


def _encode_png(image: np.ndarray) -> bytes:
    # Five times quicker than TFDS's own encoder, which starts a TensorFlow operation for every image.
    stream = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _parse_name(path: pathlib.Path, *, is_altered: bool, seen: dict) -> filenames.PrintName:
    """Parse a name, which must fit its folder and be the first of its print."""
    try:
        name = filenames.parse_filename(path.name)
    except UserError as error:
        raise UserError(f"{path.parent}: {error}") from error
    if (name.alteration != "none") != is_altered:
        raise UserError(
            f"{path}: a{'n altered' if not is_altered else ' real'} print has no place in this folder"
        )
    impression = (name.person, name.hand, name.finger, name.alteration)
    if impression in seen:
        raise UserError(f"{path}: the same print as {seen[impression]}")
    seen[impression] = path.name
    return name


def _fingerprint(folder: pathlib.Path, on_bad_file: str) -> str:
    """Hash a folder's names and contents: sizes and times may stay the same when contents change, as after `mv`."""
    digest = hashlib.sha256(f"{on_bad_file}\n".encode())
    for path in list_files(folder):
        digest.update(os.fsencode(f"{path.name}\0") + image_files.hash_contents(path))
    return digest.hexdigest()[:16]
