"""The config of a case, and the cases that cannot be built."""

import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import cases
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.errors import UserError


@pytest.mark.parametrize(
    ("size", "outputs", "receptive_field"), [(256, (4, 8, 16), 70), (128, (4, 8), 70), (16, (), 34)]
)
def test_the_config_suits_the_size(size, outputs, receptive_field):
    base = pix2pix_socofing.get_config()
    config = cases.create_config(base, Case("gan_step", size, 8, 2, "bfloat16"))
    assert config.generator.dropout_outputs == outputs
    assert config.discriminator.receptive_field == receptive_field
    assert config.generator.dtype == config.discriminator.dtype == config.classifier.dtype == "bfloat16"
    assert config.generator.num_features == 8 and config.global_batch_size == 2
    assert base.generator.num_features == 64 and base.data.image_size == 256


@pytest.mark.parametrize(("name", "size"), [("gan_step", 3), ("xception_step", 64)])
def test_a_size_that_the_network_does_not_take_is_named(name, size):
    case = Case(name, size, 2, 1, "float32")
    with pytest.raises(UserError, match=f"--cases={name} --sizes={size}"):
        cases.check_case(case, cases.create_config(pix2pix_socofing.get_config(), case))
