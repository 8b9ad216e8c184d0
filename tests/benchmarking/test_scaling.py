"""The arithmetic of an all-reduce, against a ring that is played through."""

import types

import numpy as np
import pytest

from fpgan_jax.benchmarking import scaling


def play_ring(num_devices, num_params):
    """Reduce and distribute chunks around a ring; return the sums and the parameters that each device sent."""
    chunks = [np.array_split(np.full(num_params, float(d + 1)), num_devices) for d in range(num_devices)]
    sent = np.zeros(num_devices)
    for is_reduction in (True, False):
        for turn in range(num_devices - 1):
            moves = []
            for device in range(num_devices):
                chunk = (device - turn + (0 if is_reduction else 1)) % num_devices
                moves.append(((device + 1) % num_devices, chunk, chunks[device][chunk].copy()))
                sent[device] += len(chunks[device][chunk])
            for target, chunk, values in moves:
                chunks[target][chunk] = chunks[target][chunk] + values if is_reduction else values
    return [np.concatenate(c) for c in chunks], sent


@pytest.mark.parametrize("num_devices", [1, 2, 4, 8])
def test_a_ring_sends_as_many_bytes(num_devices):
    sums, sent = play_ring(num_devices, 64)
    assert all((values == num_devices * (num_devices + 1) / 2).all() for values in sums)
    assert (4 * sent == scaling.compute_all_reduce_bytes(num_devices, 64)).all()


def test_rows_for_both_networks_and_all_links():
    rows = scaling.describe_all_reduce(0.1)
    assert len(rows) == 2 * 3 * len(scaling.LINKS)
    (row,) = [
        row
        for row in rows
        if (row["link"], row["num_devices"], row["network"]) == ("100 Gb/s Ethernet", 8, "generator")
    ]
    # 2 * 7/8 * 54,407,809 parameters * 4 bytes = 380.9 MB
    assert row["bytes_per_device"] == pytest.approx(380_854_663)
    assert row["seconds"] == pytest.approx(0.030468, rel=1e-4)
    assert row["percent_of_step"] == pytest.approx(30.468, rel=1e-3)


def test_a_worker_gets_its_devices_and_the_users_flags_as_they_are(monkeypatch):
    def run(command, *, env, **options):
        del command, options
        assert (env["XLA_FLAGS"], env["JAX_NUM_CPU_DEVICES"]) == ("a file", "4")
        return types.SimpleNamespace(returncode=0, stdout='{"ms_median": 1}')

    monkeypatch.setenv("XLA_FLAGS", "a file")
    monkeypatch.setattr(scaling.worker_process.subprocess, "run", run)
    assert scaling._run_worker({}, 4) == {"ms_median": 1}


def test_the_parameters_are_those_of_the_networks():
    import jax

    from configs import pix2pix_socofing
    from fpgan_jax.benchmarking import cases, programs

    for name, network in (("generator_inference", "generator"), ("discriminator", "discriminator")):
        case = cases.Case(name, 256, 64, 1, "float32")
        program = programs.create_program(case, cases.create_config(pix2pix_socofing.get_config(), case))
        params = jax.eval_shape(program.init, jax.random.key(0))["params"]
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == scaling.NUM_PARAMS[network]
