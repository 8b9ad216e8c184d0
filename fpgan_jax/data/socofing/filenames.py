"""Parsing and writing SOCOFing's file names."""

import dataclasses
import re

from fpgan_jax.errors import UserError

HANDS = ("Left", "Right")
FINGERS = ("thumb", "index", "middle", "ring", "little")
GENDERS = ("M", "F")
# "none" marks a real impression.
ALTERATIONS = ("none", "CR", "Obl", "Zcut")

_PATTERN = re.compile(
    r"(?P<person>[1-9][0-9]{0,8})__(?P<gender>[MF])_(?P<hand>Left|Right)_"
    r"(?P<finger>thumb|index|middle|ring|little)_finger"
    r"(?:_(?P<alteration>CR|Obl|Zcut))?\.(?:BMP|bmp)"
)


@dataclasses.dataclass(frozen=True, order=True)
class PrintName:
    """What a SOCOFing file name says of its print."""

    person: int  # from 1
    hand: str  # one of `HANDS`, and so on
    finger: str
    gender: str
    alteration: str = "none"

    def to_filename(self) -> str:
        """Write the name as SOCOFing does, for example `5__M_Right_index_finger_CR.BMP`."""
        suffix = "" if self.alteration == "none" else f"_{self.alteration}"
        return f"{self.person}__{self.gender}_{self.hand}_{self.finger}_finger{suffix}.BMP"


def number_finger(hand: str, finger: str) -> int:
    """Number a finger from 1, the right thumb, to 10, the left little finger.

    Source: ANSI/NIST-ITL 1-2011, table 8 (friction ridge positions); differs in: nothing.
    """
    return 1 + FINGERS.index(finger) + len(FINGERS) * (hand == "Left")


def parse_filename(filename: str) -> PrintName:
    """Parse a file name without its folder, for example `100__M_Left_index_finger.BMP`.

    Raises:
      UserError: the name is not of SOCOFing's form.

    Source: Shehu et al. 2018, arXiv:1807.10609, section 3; differs in: nothing.
    """
    match = _PATTERN.fullmatch(filename)
    if match is None:
        raise UserError(
            f"{filename!r}: not a SOCOFing file name "
            "(<id>__<M|F>_<Left|Right>_<finger>_finger[_<CR|Obl|Zcut>].BMP)"
        )
    person, gender, hand, finger, alteration = match.groups(default="none")
    return PrintName(int(person), hand, finger, gender, alteration)
