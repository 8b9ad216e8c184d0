"""What the tests of the networks share with those of `third_party`."""

from tests.models.conftest import _quick_compilation  # noqa: F401
