"""Owns the same networks and training steps in PyTorch, as its users write them, to compare times with."""

import functools
import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

_LEAKY_SLOPE = 0.2


class UNet(nn.Module):
    """Isola's U-Net with batch norm, as in the reference PyTorch code.

    Source: Isola et al. 2017, as `UnetGenerator` of junyanz/pytorch-CycleGAN-and-pix2pix; differs in: two lists of
      levels, outermost first, instead of nested ones.
    """

    def __init__(self, image_size: int, num_features: int, num_channels: int = 1):
        """Build the network for images whose side, in pixels, is a power of two.

        Raises:
          ValueError: it is not.
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
            outer_width = features[level - 1] if level else num_channels
            down = [] if level == 0 else [nn.LeakyReLU(_LEAKY_SLOPE, inplace=True)]
            down.append(nn.Conv2d(outer_width, width, 4, 2, 1, bias=False))
            if 0 < level < num_levels - 1:
                down.append(nn.BatchNorm2d(width))
            up_width = width if level == num_levels - 1 else 2 * width
            up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(up_width, outer_width, 4, 2, 1, bias=level == 0)]
            up.append(nn.BatchNorm2d(outer_width) if level else nn.Tanh())
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
        """Build the network; 3 strided convolutions give patches of 70x70 pixels."""
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
        """Build the network; `width` is a factor on all numbers of features."""

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


def create_inference(network: nn.Module, autocast: Callable) -> Callable[[torch.Tensor], torch.Tensor]:
    """Create the function that applies a network to a batch."""

    def infer(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast():
            return network(images)

    return infer


def create_discriminator_gradient(
    discriminator: nn.Module, autocast: Callable
) -> Callable[..., torch.Tensor]:
    """Create D's half of `create_gan_step` on (noise, real, fake): up to the gradient, without the optimizer."""

    def compute_gradient(
        noise_image: torch.Tensor, real_image: torch.Tensor, fake_image: torch.Tensor
    ) -> torch.Tensor:
        discriminator.zero_grad()
        with autocast():
            loss = _compute_discriminator_loss(discriminator, noise_image, real_image, fake_image)
        loss.backward()
        return loss.detach()

    return compute_gradient


def create_gan_step(
    generator: nn.Module, discriminator: nn.Module, autocast: Callable
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Create the alternating step on (noise, real): D on detached prints, then G through the updated D.

    It returns G's scalar loss, which stays on the device.

    Source: Isola et al. 2017, section 3.3, as `Pix2PixModel.optimize_parameters` of
      junyanz/pytorch-CycleGAN-and-pix2pix; differs in: nothing.
    """
    create_tx = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), eps=1e-8)
    generator_tx, discriminator_tx = create_tx(generator.parameters()), create_tx(discriminator.parameters())

    def take_step(noise_image: torch.Tensor, real_image: torch.Tensor) -> torch.Tensor:
        with autocast():
            fake_image = generator(noise_image)
        discriminator.requires_grad_(True)
        with autocast():
            loss = _compute_discriminator_loss(discriminator, noise_image, real_image, fake_image.detach())
        discriminator_tx.zero_grad()
        loss.backward()
        discriminator_tx.step()
        discriminator.requires_grad_(False)
        with autocast():
            loss = _judge(discriminator, noise_image, fake_image, 1.0)
            loss = loss + 100.0 * functional.l1_loss(fake_image.float(), real_image)
        generator_tx.zero_grad()
        loss.backward()
        generator_tx.step()
        return loss.detach()

    return take_step


def create_classifier_step(classifier: nn.Module, autocast: Callable) -> Callable[..., torch.Tensor]:
    """Create a training step on (images, labels), with softmax cross-entropy and AdamW."""
    tx = torch.optim.AdamW(classifier.parameters(), lr=1e-3, weight_decay=1e-4)

    def take_step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with autocast():
            logits = classifier(images)
        loss = functional.cross_entropy(logits.float(), labels)
        tx.zero_grad()
        loss.backward()
        tx.step()
        return loss.detach()

    return take_step


def _compute_discriminator_loss(
    discriminator: nn.Module, noise_image: torch.Tensor, real_image: torch.Tensor, fake_image: torch.Tensor
) -> torch.Tensor:
    fake_loss = _judge(discriminator, noise_image, fake_image, 0.0)
    return 0.5 * (fake_loss + _judge(discriminator, noise_image, real_image, 1.0))


def _judge(
    discriminator: nn.Module, noise_image: torch.Tensor, image: torch.Tensor, target: float
) -> torch.Tensor:
    logits = discriminator(torch.cat([noise_image, image], 1)).float()
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
