"""Owns the PyTorch pix2pix's networks and its training step in PyTorch, with its names: what parity is tested against.

Does not serve anything else, and is the one module here that needs PyTorch (`pip install -e '.[compare]'`).

Source: the facts of junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py and models/pix2pix_model.py: which
layers there are, how they nest, in which order they are updated; differs in: `Dropout` is any module that is given.
"""

import functools
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional

_NORMS = {
    "batch": nn.BatchNorm2d,
    "instance": functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
}


class _Level(nn.Module):
    """A level of the U-Net with all levels below it, as upstream's `UnetSkipConnectionBlock` nests them."""

    def __init__(self, outer, inner, below, norm, *, in_channels=None, dropout=None):
        super().__init__()
        has_bias = norm == "instance"
        is_outermost, is_innermost = in_channels is not None, below is None
        down = nn.Conv2d(in_channels or outer, inner, 4, 2, 1, bias=has_bias)
        up_width = inner if is_innermost else 2 * inner
        up = nn.ConvTranspose2d(up_width, outer, 4, 2, 1, bias=is_outermost or has_bias)
        self.is_outermost = is_outermost
        if is_outermost:
            layers = [down, below, nn.ReLU(), up, nn.Tanh()]
        else:
            middle = [] if is_innermost else [_NORMS[norm](inner), below]
            layers = [nn.LeakyReLU(0.2), down, *middle, nn.ReLU(), up, _NORMS[norm](outer)]
        self.model = nn.Sequential(*layers, *([] if dropout is None else [dropout]))

    def forward(self, x):
        y = self.model(x)
        return y if self.is_outermost else torch.cat([x, y], 1)


class UnetGenerator(nn.Module):
    """The generator of `--netG unet_128` (7 levels) and `unet_256` (8); at least 5 levels.

    Attributes:
      model: the outermost level.
    """

    def __init__(
        self,
        num_channels: int,
        num_levels: int,
        num_features: int,
        norm: str,
        create_dropout: Callable[[], nn.Module] | None = None,
    ):
        """Args: image channels; levels; features of the outermost; "batch" or "instance"; maker of dropout."""
        super().__init__()
        widths = [num_features * min(2**level, 8) for level in range(num_levels)]
        level = None
        for index in reversed(range(1, num_levels)):
            # The levels of full width but the innermost have dropout.
            is_dropped = create_dropout is not None and 4 <= index < num_levels - 1
            dropout = create_dropout() if is_dropped else None
            level = _Level(widths[index - 1], widths[index], level, norm, dropout=dropout)
        self.model = _Level(num_channels, widths[0], level, norm, in_channels=num_channels)

    def forward(self, noise_image: torch.Tensor) -> torch.Tensor:
        """Generate [batch, channels, size, size] from noise images of that shape."""
        return self.model(noise_image)


class NLayerDiscriminator(nn.Module):
    """The discriminator of `--netD basic` (3 strided convolutions) and `n_layers`.

    Attributes:
      model: its layers.
    """

    def __init__(self, num_channels: int, num_strided: int, num_features: int, norm: str):
        """Args: channels of one image; strided convolutions; features of the first; "batch" or "instance"."""
        super().__init__()
        widths = [num_features * min(2**i, 8) for i in range(num_strided + 1)]
        layers = [nn.Conv2d(2 * num_channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(1, num_strided + 1):
            stride = 2 if i < num_strided else 1
            conv = nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=norm == "instance")
            layers += [conv, _NORMS[norm](widths[i]), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Judge [batch, 2 * channels, height, width]; logits."""
        return self.model(images)


class PixelDiscriminator(nn.Module):
    """The discriminator of `--netD pixel`.

    Attributes:
      net: its layers.
    """

    def __init__(self, num_channels: int, num_features: int, norm: str):
        """Args: channels of one image; features of the first layer; "batch" or "instance"."""
        super().__init__()
        has_bias = norm == "instance"
        self.net = nn.Sequential(
            nn.Conv2d(2 * num_channels, num_features, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(num_features, 2 * num_features, 1, bias=has_bias),
            _NORMS[norm](2 * num_features),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * num_features, 1, 1, bias=has_bias),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Judge [batch, 2 * channels, height, width]; logits."""
        return self.net(images)


def create_discriminator(num_channels: int, num_strided: int, num_features: int, norm: str) -> nn.Module:
    """Create the discriminator of so many strided convolutions; 0 is the pixel form."""
    if num_strided == 0:
        return PixelDiscriminator(num_channels, num_features, norm)
    return NLayerDiscriminator(num_channels, num_strided, num_features, norm)


class TrainingStep:
    """The alternating step with its two optimisers; networks in training mode.

    Attributes:
      generator: G.
      discriminator: D.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, *, lambda_l1: float = 100.0):
        """Args: the networks, which are updated in place; weight of the L1 term."""
        self.generator, self.discriminator, self._lambda_l1 = generator, discriminator, lambda_l1
        self._optimizers = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (generator, discriminator)
        ]

    def __call__(self, noise_image: torch.Tensor, real_image: torch.Tensor) -> Mapping[str, float]:
        """Take a step on [batch, channels, size, size] in [-1, 1]; return the losses before the updates."""
        generator_optimizer, discriminator_optimizer = self._optimizers
        fake_image = self.generator(noise_image)
        discriminator_optimizer.zero_grad()
        fake_term = self._judge(noise_image, fake_image.detach(), 0.0)
        real_term = self._judge(noise_image, real_image, 1.0)
        discriminator_loss = (fake_term + real_term) * 0.5
        discriminator_loss.backward()
        discriminator_optimizer.step()
        generator_optimizer.zero_grad()
        adversarial_loss = self._judge(noise_image, fake_image, 1.0)
        l1_loss = functional.l1_loss(fake_image, real_image)
        (adversarial_loss + self._lambda_l1 * l1_loss).backward()
        generator_optimizer.step()
        return {
            "discriminator_loss": discriminator_loss.item(),
            "adversarial_loss": adversarial_loss.item(),
            "l1_loss": l1_loss.item(),
        }

    def _judge(self, noise_image, image, label):
        logits = self.discriminator(torch.cat([noise_image, image], 1))
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
