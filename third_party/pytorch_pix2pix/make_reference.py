"""Owns PyTorch's outputs for the parity cases; as a script, stores them.

python -m third_party.pytorch_pix2pix.make_reference

Needs PyTorch (`pip install -e '.[compare]'`).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from third_party.pytorch_pix2pix import parity_cases
from third_party.pytorch_pix2pix.torch_networks import TrainingStep, UnetGenerator, create_discriminator


class _Scale(nn.Module):
    """Replaces dropout by a constant factor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return parity_cases.DROPOUT_FACTOR * x


def create_networks(
    case: parity_cases.Case, dtype: torch.dtype, *, has_dropout: bool = False
) -> tuple[nn.Module, nn.Module]:
    """Create the generator and the discriminator of a case with its weights, in training mode.

    With `has_dropout` the generator multiplies by `parity_cases.DROPOUT_FACTOR` instead of dropout.
    """
    generator = UnetGenerator(
        case.num_channels, case.num_levels, case.num_features, case.norm, _Scale if has_dropout else None
    )
    discriminator = create_discriminator(case.num_channels, case.num_strided, case.num_features, case.norm)
    for seed, network in enumerate((generator, discriminator), start=1):
        state = network.state_dict()
        drawn = parity_cases.draw_state({key: tuple(value.shape) for key, value in state.items()}, seed)
        network.load_state_dict(state | {key: torch.tensor(array) for key, array in drawn.items()})
    return generator.to(dtype), discriminator.to(dtype)


def compute_answers(case: parity_cases.Case, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Compute everything that is compared, with PyTorch.

    Returns:
      Name -> array: images and logits [batch, height, width, channels]; gradients of <output, cotangent> with respect
      to the inputs, and to the weights in PyTorch's layout; weights, statistics and losses after the training steps.
    """
    images = [_to_torch(parity_cases.draw_images(case, seed), dtype) for seed in range(3)]
    answers: dict[str, np.ndarray] = {}
    for index, name in enumerate(("generator", "discriminator")):
        network = create_networks(case, dtype)[index]
        x = images[0] if index == 0 else torch.cat(images[:2], 1)
        answers |= {f"{name}/{part}": value for part, value in _pass_through(network, x).items()}
    if case.dropout_outputs:
        dropped, _ = create_networks(case, dtype, has_dropout=True)
        answers["generator/dropout"] = _to_numpy(dropped(images[0]))
    return answers | _train(case, dtype)


def _pass_through(network: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    network.eval()
    with torch.no_grad():
        evaluated = network(x)
    network.train()
    x = x.clone().requires_grad_()
    y = network(x)
    cotangent = np.random.default_rng(9).normal(size=_to_numpy(y).shape)
    (y * _to_torch(cotangent, y.dtype)).sum().backward()
    gradients = {f"gradient/{key}": value.grad.numpy() for key, value in network.named_parameters()}
    return {
        "evaluation": _to_numpy(evaluated),
        "training": _to_numpy(y),
        "input_gradient": _to_numpy(x.grad),
        **gradients,
    }


def _train(case: parity_cases.Case, dtype: torch.dtype) -> dict[str, np.ndarray]:
    generator, discriminator = create_networks(case, dtype)
    step = TrainingStep(generator, discriminator)
    losses = []
    for index in range(parity_cases.NUM_STEPS):
        noise_image, real_image = (
            _to_torch(parity_cases.draw_images(case, 10 * (index + 1) + i), dtype) for i in range(2)
        )
        losses.append(list(step(noise_image, real_image).values()))
    answers = {"steps/losses": np.array(losses)}
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        for key, value in network.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                answers[f"steps/{name}/{key}"] = value.numpy()
    return answers


def measure(case: parity_cases.Case) -> tuple[dict[str, np.ndarray], Mapping[str, float]]:
    """Compute the answers in float64, and the largest absolute error of PyTorch's float32 by name."""
    exact = compute_answers(case, torch.float64)
    rounded = compute_answers(case, torch.float32)
    return exact, {name: float(np.abs(rounded[name] - value).max()) for name, value in exact.items()}


def _to_torch(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(array).to(dtype).permute(0, 3, 1, 2).contiguous()


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().permute(0, 2, 3, 1).numpy()


def main() -> None:
    """Write the reference file."""
    measured = {case.name: measure(case) for case in parity_cases.CASES}
    parity_cases.save_reference(
        {name: answers for name, (answers, _) in measured.items()},
        {name: errors for name, (_, errors) in measured.items()},
    )
    print(f"{parity_cases.REFERENCE_FILE}: {parity_cases.REFERENCE_FILE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
