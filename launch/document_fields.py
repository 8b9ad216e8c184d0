r"""Write the page that lists every config field with its type, range, default, meaning and use.

python -m launch.document_fields

A test fails if docs/fields.md differs from the output.
"""

from launch import cli

_OUT = cli.define_path_flag("out", "The page to write.", default="docs/fields.md")


def main() -> None:
    """Write the page."""
    from fpgan_jax.config.page import format_page
    from fpgan_jax.host.whole_file import write_whole

    with write_whole(_OUT.value) as file:
        file.write(format_page())


if __name__ == "__main__":
    cli.run(main)
