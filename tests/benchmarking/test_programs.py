"""The timed programs: their cost counted by hand, and that they run on random images and compile once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import cases, compilation, programs
from fpgan_jax.benchmarking.cases import Case


def create(case, **fields):
    return programs.create_program(case, cases.create_config(pix2pix_socofing.get_config(), case), **fields)


def lower(program):
    """Lower a program from shapes alone. XLA counts the body of a loop over steps once."""
    shapes = jax.eval_shape(program.init, jax.random.key(0))
    if program.is_step:
        num_devices = jax.local_device_count()
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((num_devices, *x.shape), x.dtype), shapes)
    return program.function.lower(shapes, program.batch, program.key)


def conv_flop(out_size, in_features, features):
    """Return the operations of a 4x4 convolution, or of its gradient by either argument: as many."""
    return 2 * 4 * 4 * in_features * features * out_size**2


def test_the_cost_of_the_gans_step_is_that_counted_by_hand():
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    sizes = [128, 64, 32, 16, 8, 4, 2, 1]
    down = [conv_flop(s, i, o) for s, i, o in zip(sizes, [1, *widths], widths, strict=False)]
    # A transposed convolution is the gradient of one whose output is its own input, [skip, up] but innermost.
    up = [
        conv_flop(s, o, w * (1 if s == 1 else 2))
        for s, o, w in zip(sizes, [1, *widths], widths, strict=False)
    ]
    judge = [
        conv_flop(s, i, o)
        for s, i, o in [(128, 2, 64), (64, 64, 128), (32, 128, 256), (31, 256, 512), (30, 512, 1)]
    ]
    generator, discriminator = sum(down) + sum(up), sum(judge)
    assert generator == pytest.approx(11.9e9, rel=0.01)
    assert discriminator == pytest.approx(6.3e9, rel=0.01)
    # Forward, and the gradients by weights and inputs; the noise image needs none.
    update_generator = 3 * generator - down[0]
    update_discriminator = 2 * (3 * discriminator - judge[0])
    # G's loss goes through D and back to D's input alone.
    through_discriminator = 2 * discriminator
    by_hand = update_generator + update_discriminator + through_discriminator
    assert by_hand == pytest.approx(86e9, rel=0.01)
    lowered = lower(create(Case("gan_step", 256, 64, 1, "float32")))
    assert lowered.cost_analysis()["flops"] == pytest.approx(by_hand, rel=0.03)


def test_the_cost_of_several_steps_in_one_call_is_that_of_one():
    case = Case("gan_step", 16, 2, 1, "float32")
    one, three = (lower(create(case, steps_per_dispatch=n)).cost_analysis()["flops"] for n in (1, 3))
    assert three == pytest.approx(one, rel=0.001)


def test_several_steps_in_one_call_take_their_batches_in_order():
    def step(state, batch, key):
        return 10 * state + batch["image"].sum(), {"loss": batch["image"].mean()}

    images = np.repeat(np.array([1, 2, 3], np.uint8), 2)  # three steps of a batch of two
    program = programs._create_step_program(step, lambda key: jnp.zeros(()), {"image": images}, 3)
    compiled = compilation.compile_program(program)
    state, metrics = compiled.call()
    assert state.tolist() == [246.0] and metrics["loss"].tolist() == [[1.0, 2.0, 3.0]]
    assert compiled.program.num_steps == 3 and compiled.call()[0].tolist() == [246246.0]


@pytest.mark.parametrize("name", ["generator_inference", "discriminator", "gan_step", "xception_inference"])
@pytest.mark.seconds(10)
def test_a_program_runs_on_bytes_that_are_not_zero_and_is_compiled_once(name):
    is_xception = name.startswith("xception")
    case = Case(name, 71 if is_xception else 16, 0 if is_xception else 2, 2, "float32")
    config = pix2pix_socofing.get_config()
    config.classifier.width, config.classifier.num_middle_blocks = 0.05, 0
    compiled = compilation.compile_program(programs.create_program(case, cases.create_config(config, case)))
    images = [leaf for leaf in jax.tree.leaves(compiled.batch) if leaf.dtype == np.uint8]
    assert images and all(np.std(image) > 50 for image in images)
    with jax.log_compiles(False), _count_compilations() as count:
        first = jax.block_until_ready(compiled.call())
        jax.block_until_ready(compiled.call())
    assert count == [] and all(
        np.isfinite(leaf).all() for leaf in jax.tree.leaves(first) if leaf.size and not leaf.is_deleted()
    )
    costs = compiled.costs
    assert costs["flop"] > 0 and costs["bytes"] > 0 and costs["compile_seconds"] > 0
    assert costs["is_compile_cached"] in (False, True)
    arguments = sum(leaf.nbytes for leaf in jax.tree.leaves((compiled.state, compiled.batch)))
    assert costs["peak_memory_bytes"] > 0.5 * arguments


class _count_compilations:
    def __enter__(self):
        self.events = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self.events

    def _listen(self, event, duration, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            self.events.append(details)

    def __exit__(self, *exception):
        jax.monitoring.unregister_event_duration_listener(self._listen)
