"""The description of the machine."""

from fpgan_jax.benchmarking import machine, worker_process


def test_the_machine_is_described_in_another_process_as_in_this_one():
    found = machine.describe_machine()
    assert found["cpu"] and found["num_cores"] >= 1 and found["versions"]["jax"]
    elsewhere = worker_process.ask_module("fpgan_jax.benchmarking.machine", None, {})
    # The tests may have set the number of devices in this process only.
    assert elsewhere | {"num_devices": found["num_devices"]} == found
