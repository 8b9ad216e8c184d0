"""Owns the same networks and training steps in PyTorch, as its users write them, to compare times with.

Does not time them (`peer_worker.py`). Without PyTorch the file can still be imported, but its classes do not work;
`peer_worker.check_torch` checks that first.
"""

from __future__ import annotations

import itertools
import types

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ModuleNotFoundError:
    torch = functional = None
    nn = types.SimpleNamespace(Module=object, Sequential=object)

_LEAKY_SLOPE = 0.2


class UNet(nn.Module):
    """Isola's U-Net with batch norm, as in the reference PyTorch code.

    Attributes:
      downs: one convolution with activation and norm per level, outermost first.
      ups: one transposed convolution with activation and norm per level, outermost first.

    Source: Isola et al. 2017, as `UnetGenerator` of junyanz/pytorch-CycleGAN-and-pix2pix; differs in: two lists of
      levels instead of nested ones.
    """

    def __init__(self, image_size: int, num_features: int, num_channels: int = 1):
        """Build the network.

        Args:
          image_size: side of the square image, pixels; a power of two.
          num_features: of the first level.
          num_channels: of an image.

        Raises:
          ValueError: the size is not a power of two.
        """
        super().__init__()
        num_levels = image_size.bit_length() - 1
        if image_size != 2**num_levels:
            raise ValueError(f"no generator for {image_size} pixels; use a power of two")
        features = [num_features * min(2**level, 8) for level in range(num_levels)]
        # Output sizes of the three 512-feature decoder blocks after the innermost; unet_128 has two of them.
        dropouts = {size for size in (4, 8, 16) if size <= image_size // 16}
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(features):
            in_width = features[level - 1] if level else num_channels
            down = [] if level == 0 else [nn.LeakyReLU(_LEAKY_SLOPE, inplace=True)]
            down.append(nn.Conv2d(in_width, width, 4, 2, 1, bias=False))
            if 0 < level < num_levels - 1:
                down.append(nn.BatchNorm2d(width))
            up_width = width if level == num_levels - 1 else 2 * width
            out_width = features[level - 1] if level else num_channels
            up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(up_width, out_width, 4, 2, 1, bias=level == 0)]
            up.append(nn.BatchNorm2d(out_width) if level else nn.Tanh())
            if image_size >> level in dropouts:
                up.append(nn.Dropout(0.5))
            self.downs.append(nn.Sequential(*down))
            self.ups.append(nn.Sequential(*up))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Generate [batch, channels, size, size] from noise images of that shape."""
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        x = skips.pop()
        for up in reversed(self.ups):
            x = up(x)
            if skips:
                x = torch.cat([skips.pop(), x], 1)
        return x


class PatchDiscriminator(nn.Sequential):
    """The PatchGAN with batch norm, on noise and print concatenated along the channels.

    Source: Isola et al. 2017, as `NLayerDiscriminator` of junyanz/pytorch-CycleGAN-and-pix2pix; differs in:
      nothing.
    """

    def __init__(self, num_features: int, num_channels: int = 1, num_strided: int = 3):
        """Build the network.

        Args:
          num_features: of the first convolution.
          num_channels: of one image.
          num_strided: number of strided convolutions; 3 for patches of 70x70 pixels.
        """
        widths = [num_features * min(2**i, 8) for i in range(num_strided + 1)]
        blocks = [nn.Conv2d(2 * num_channels, widths[0], 4, 2, 1), nn.LeakyReLU(_LEAKY_SLOPE, inplace=True)]
        for i, (in_width, width) in enumerate(itertools.pairwise(widths), start=1):
            stride = 1 if i == num_strided else 2
            blocks += [
                nn.Conv2d(in_width, width, 4, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(_LEAKY_SLOPE, inplace=True),
            ]
        super().__init__(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))


class _Separable(nn.Sequential):
    def __init__(self, in_width: int, width: int):
        super().__init__(
            nn.Conv2d(in_width, in_width, 3, 1, 1, groups=in_width, bias=False),
            nn.Conv2d(in_width, width, 1, bias=False),
            _batch_norm(width),
        )


class _SamePool(nn.Module):
    """3x3 max pooling with stride 2 and the SAME padding of Keras, which differs for odd and even sizes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, 3, 2, padding=x.shape[-1] % 2, ceil_mode=True)


class _Block(nn.Module):
    """Separable convolutions and a shortcut, which is strided if the block halves the size."""

    def __init__(self, widths: tuple[int, ...], *, halves: bool, has_first_relu: bool = True):
        super().__init__()
        layers = []
        for i, (in_width, width) in enumerate(itertools.pairwise(widths)):
            if i or has_first_relu:
                # The first is not in place, because the shortcut reads the same values.
                layers.append(nn.ReLU(inplace=i > 0))
            layers.append(_Separable(in_width, width))
        self.body = nn.Sequential(*layers, *([_SamePool()] if halves else []))
        self.shortcut = nn.Identity()
        if halves:
            self.shortcut = nn.Sequential(
                nn.Conv2d(widths[0], widths[-1], 1, 2, bias=False), _batch_norm(widths[-1])
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


class Xception(nn.Sequential):
    """Chollet's Xception with dropout before its last layer.

    Source: Chollet 2017, figure 5, as keras.applications.Xception; differs in: logits without the softmax;
      dropout, as in Chollet's section 4.4.
    """

    def __init__(
        self, num_classes: int, num_channels: int = 1, *, width: float = 1.0, num_middle_blocks: int = 8
    ):
        """Build the network.

        Args:
          num_classes: number of logits.
          num_channels: of an image.
          width: factor on all numbers of features.
          num_middle_blocks: blocks of the middle flow.
        """

        def scale(*widths: int) -> tuple[int, ...]:
            return tuple(max(1, round(features * width)) for features in widths)

        first, second = scale(32, 64)
        stem = []
        for in_width, out_width, stride in ((num_channels, first, 2), (first, second, 1)):
            stem += [
                nn.Conv2d(in_width, out_width, 3, stride, bias=False),
                _batch_norm(out_width),
                nn.ReLU(inplace=True),
            ]
        exit_widths = scale(1024, 1536, 2048)
        super().__init__(
            *stem,
            _Block(scale(64, 128, 128), halves=True, has_first_relu=False),
            _Block(scale(128, 256, 256), halves=True),
            _Block(scale(256, 728, 728), halves=True),
            *(_Block(scale(728, 728, 728, 728), halves=False) for _ in range(num_middle_blocks)),
            _Block(scale(728, 728, 1024), halves=True),
            _Separable(*exit_widths[:2]),
            nn.ReLU(inplace=True),
            _Separable(*exit_widths[1:]),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(exit_widths[-1], num_classes),
        )


def _batch_norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class DiscriminatorGradient:
    """D's half of `GanStep` on given prints, up to the gradient and without the optimizer."""

    def __init__(self, discriminator: nn.Module, autocast_dtype: torch.dtype | None = None):
        """Take a network on its device, and the dtype of automatic mixed precision or None."""
        self.discriminator = discriminator
        self._autocast_dtype = autocast_dtype

    def __call__(
        self, noise_image: torch.Tensor, real_image: torch.Tensor, fake_image: torch.Tensor
    ) -> torch.Tensor:
        """Compute the gradient; return the scalar loss, which stays on the device."""
        self.discriminator.zero_grad()
        with _autocast(noise_image.device.type, self._autocast_dtype):
            fake_loss = _judge(self.discriminator, noise_image, fake_image, 0.0)
            loss = 0.5 * (fake_loss + _judge(self.discriminator, noise_image, real_image, 1.0))
        loss.backward()
        return loss.detach()


class GanStep:
    """The alternating step of the reference PyTorch code: D on detached prints, then G through the updated D.

    Source: Isola et al. 2017, section 3.3, as `Pix2PixModel.optimize_parameters` of
      junyanz/pytorch-CycleGAN-and-pix2pix; differs in: nothing.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, autocast_dtype: torch.dtype | None = None
    ):
        """Take both networks on their device, and the dtype of automatic mixed precision or None."""
        self.generator, self.discriminator = generator, discriminator
        self._autocast_dtype = autocast_dtype
        self._device_type = next(generator.parameters()).device.type
        settings = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8}
        self._generator_tx = torch.optim.Adam(generator.parameters(), **settings)
        self._discriminator_tx = torch.optim.Adam(discriminator.parameters(), **settings)

    def __call__(self, noise_image: torch.Tensor, real_image: torch.Tensor) -> torch.Tensor:
        """Take one step; return G's scalar loss, which stays on the device."""
        with self._autocast():
            fake_image = self.generator(noise_image)
        self.discriminator.requires_grad_(True)
        with self._autocast():
            fake_loss = self._judge(noise_image, fake_image.detach(), 0.0)
            loss = 0.5 * (fake_loss + self._judge(noise_image, real_image, 1.0))
        self._discriminator_tx.zero_grad()
        loss.backward()
        self._discriminator_tx.step()
        self.discriminator.requires_grad_(False)
        with self._autocast():
            loss = self._judge(noise_image, fake_image, 1.0)
            loss = loss + 100.0 * functional.l1_loss(fake_image.float(), real_image)
        self._generator_tx.zero_grad()
        loss.backward()
        self._generator_tx.step()
        return loss.detach()

    def _judge(self, noise_image: torch.Tensor, image: torch.Tensor, target: float) -> torch.Tensor:
        return _judge(self.discriminator, noise_image, image, target)

    def _autocast(self):
        return _autocast(self._device_type, self._autocast_dtype)


class ClassifierStep:
    """A training step with softmax cross-entropy and AdamW."""

    def __init__(self, classifier: nn.Module, autocast_dtype: torch.dtype | None = None):
        """Take a network on its device, and the dtype of automatic mixed precision or None."""
        self.classifier = classifier
        self._autocast_dtype = autocast_dtype
        self._device_type = next(classifier.parameters()).device.type
        self._tx = torch.optim.AdamW(classifier.parameters(), lr=1e-3, weight_decay=1e-4)

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Take one step; return the scalar loss, which stays on the device."""
        with _autocast(self._device_type, self._autocast_dtype):
            logits = self.classifier(images)
        loss = functional.cross_entropy(logits.float(), labels)
        self._tx.zero_grad()
        loss.backward()
        self._tx.step()
        return loss.detach()


def _judge(discriminator: nn.Module, noise_image: torch.Tensor, image: torch.Tensor, target: float):
    logits = discriminator(torch.cat([noise_image, image], 1)).float()
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _autocast(device_type: str, dtype: torch.dtype | None):
    return torch.autocast(device_type, dtype, enabled=dtype is not None)
