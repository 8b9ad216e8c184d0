"""Tests of SOCOFing's file names."""

import pytest

from fpgan_jax.data.socofing.filenames import PrintName, parse_filename
from fpgan_jax.errors import UserError

NAMES = {
    "100__M_Left_index_finger.BMP": PrintName(100, "Left", "index", "M"),
    "1__F_Right_thumb_finger.BMP": PrintName(1, "Right", "thumb", "F"),
    "600__M_Right_little_finger_CR.BMP": PrintName(600, "Right", "little", "M", "CR"),
    "53__M_Left_ring_finger_Obl.BMP": PrintName(53, "Left", "ring", "M", "Obl"),
    "7__F_Left_middle_finger_Zcut.BMP": PrintName(7, "Left", "middle", "F", "Zcut"),
}


@pytest.mark.parametrize("filename", NAMES)
def test_parses_what_the_name_says(filename):
    assert parse_filename(filename) == NAMES[filename]


@pytest.mark.parametrize("filename", NAMES)
def test_writes_the_name_it_parsed(filename):
    assert parse_filename(filename).to_filename() == filename


def test_parses_a_lower_case_extension():
    assert parse_filename("5__M_Right_index_finger.bmp") == PrintName(5, "Right", "index", "M")


@pytest.mark.parametrize(
    "filename",
    [
        "100_M_Left_index_finger.BMP",
        "0__M_Left_index_finger.BMP",
        "007__M_Left_index_finger.BMP",
        "x__M_Left_index_finger.BMP",
        "1__X_Left_index_finger.BMP",
        "1__M_left_index_finger.BMP",
        "1__M_Left_toe_finger.BMP",
        "1__M_Left_index_finger_Blur.BMP",
        "1__M_Left_index_finger.PNG",
        "1__M_Left_index_finger.BMP.part",
        "Real/1__M_Left_index_finger.BMP",
        "",
    ],
)
def test_refuses_another_name(filename):
    with pytest.raises(UserError, match="not a SOCOFing file name"):
        parse_filename(filename)
