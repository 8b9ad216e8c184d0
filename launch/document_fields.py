r"""Write the page that lists every config field with its type, range, default, meaning and use.

python -m launch.document_fields

Also writes the defaults to fpgan_jax/config/default.json, for programs that have only the installed package. A test
fails if either file differs from the output.
"""

import inspect
import json

from launch import cli

_OUT = cli.define_path_flag("out", "The page to write.", default="docs/fields.md")
_DEFAULTS = cli.define_path_flag(
    "defaults", "The file of defaults to write.", default="fpgan_jax/config/default.json"
)


def main(argv: list[str]) -> None:
    """Write the page."""
    del argv
    from configs import pix2pix_socofing
    from fpgan_jax.config.page import format_page
    from fpgan_jax.host.whole_file import write_whole

    page = format_page(
        inspect.getsource(pix2pix_socofing), pix2pix_socofing.get_config(), "configs/pix2pix_socofing.py"
    )
    with write_whole(_OUT.value) as file:
        file.write(page)
    with write_whole(_DEFAULTS.value) as file:
        json.dump(pix2pix_socofing.get_config().to_dict(), file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    cli.run(main)
