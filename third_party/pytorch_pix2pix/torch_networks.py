"""Owns the networks and the training step of the PyTorch pix2pix in PyTorch, with its names, for the parity tests.

Needs PyTorch (`pip install -e '.[compare]'`).

Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py and models/pix2pix_model.py: the layers, their nesting
and the order of updates; differs in: any module can replace dropout.
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
    """A level of the U-Net with all levels below it, nested as in upstream's `UnetSkipConnectionBlock`."""

    def __init__(
        self,
        outer: int,
        inner: int,
        below: nn.Module | None,
        norm: str,
        *,
        in_channels: int | None = None,
        dropout: nn.Module | None = None,
    ):
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.model(x)
        return y if self.is_outermost else torch.cat([x, y], 1)


class UnetGenerator(nn.Module):
    """The generator of `--netG unet_128` (7 levels) and `unet_256` (8); at least 5 levels."""

    def __init__(
        self,
        num_channels: int,
        num_levels: int,
        num_features: int,
        norm: str,
        create_dropout: Callable[[], nn.Module] | None = None,
    ):
        """Build the network; `create_dropout` creates the module in place of dropout, or None for no dropout."""
        super().__init__()
        widths = [num_features * min(2**level, 8) for level in range(num_levels)]
        level = None
        for index in reversed(range(1, num_levels)):
            # Levels of full width have dropout, except the innermost one.
            has_dropout = 4 <= index < num_levels - 1
            dropout = create_dropout() if create_dropout is not None and has_dropout else None
            level = _Level(widths[index - 1], widths[index], level, norm, dropout=dropout)
        self.model = _Level(num_channels, widths[0], level, norm, in_channels=num_channels)

    def forward(self, noise_image: torch.Tensor) -> torch.Tensor:
        """Generate [batch, channels, size, size] from noise images of that shape."""
        return self.model(noise_image)


class NLayerDiscriminator(nn.Module):
    """The discriminator of `--netD basic` (3 strided convolutions) and `n_layers`."""

    def __init__(self, num_channels: int, num_strided: int, num_features: int, norm: str):
        super().__init__()
        widths = [num_features * min(2**i, 8) for i in range(num_strided + 1)]
        layers = [nn.Conv2d(2 * num_channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(1, num_strided + 1):
            stride = 2 if i < num_strided else 1
            conv = nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=norm == "instance")
            layers += [conv, _NORMS[norm](widths[i]), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits of [batch, 2 * channels, height, width]."""
        return self.model(images)


class PixelDiscriminator(nn.Module):
    """The discriminator of `--netD pixel`."""

    def __init__(self, num_channels: int, num_features: int, norm: str):
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
        """Compute logits of [batch, 2 * channels, height, width]."""
        return self.net(images)


def create_discriminator(num_channels: int, num_strided: int, num_features: int, norm: str) -> nn.Module:
    """Create the discriminator with `num_strided` strided convolutions; 0 for the pixel discriminator."""
    if num_strided == 0:
        return PixelDiscriminator(num_channels, num_features, norm)
    return NLayerDiscriminator(num_channels, num_strided, num_features, norm)


class TrainingStep:
    """The alternating step with its two optimizers; updates both networks, in training mode, in place."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module):
        self.generator, self.discriminator = generator, discriminator
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
        (adversarial_loss + 100 * l1_loss).backward()
        generator_optimizer.step()
        return {
            "discriminator_loss": discriminator_loss.item(),
            "adversarial_loss": adversarial_loss.item(),
            "l1_loss": l1_loss.item(),
        }

    def _judge(self, noise_image: torch.Tensor, image: torch.Tensor, label: float) -> torch.Tensor:
        logits = self.discriminator(torch.cat([noise_image, image], 1))
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
