"""How processes come together, and that none is left waiting when one is gone."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.host import process_group
from fpgan_jax.host.process_group import Place, find_place

# Joins as the launch scripts do, and does what the rest of the line says.
MEMBER = """
import os, sys, time
import jax
from fpgan_jax.host import process_group
from fpgan_jax.errors import UserError
process_group.JOIN_SECONDS = float(sys.argv[5])
coordinator, process_id, num_processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    process_group.join_processes(coordinator, num_processes, process_id)
except UserError as error:
    sys.exit(f"ERROR: {error}")
print(f"{jax.process_index()} of {jax.process_count()}", flush=True)
exec(sys.argv[4])
"""


def find_address():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start(address, process_id, num_processes, then="time.sleep(60)", join_seconds=60):
    arguments = (address, process_id, num_processes, then, join_seconds)
    command = [sys.executable, "-c", MEMBER, *map(str, arguments)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    """Wait for the end; return (exit code, lines of its standard error)."""
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.strip().splitlines()


@pytest.mark.parametrize("killed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_others_end_at_once_and_say_who_is_gone(killed):
    address = find_address()
    processes = [start(address, process_id, 3) for process_id in range(3)]
    for process_id, process in enumerate(processes):
        assert process.stdout.readline() == f"{process_id} of 3\n"
    processes[killed].send_signal(signal.SIGKILL)
    begin = time.monotonic()
    for process in processes:
        code, lines = finish(process)
        if process is not processes[killed]:
            place = f"{processes[killed].pid} on {socket.gethostname()}"
            assert code == 1
            assert (
                f"ERROR: process {killed} of 3 ({place}) is gone, so this process ends too; run the same commands "
                "again to resume"
            ) in lines

    # JAX's own heartbeats would have told after 45 s.
    assert time.monotonic() - begin < 20


def test_one_that_cannot_go_on_tells_the_others_why():
    address = find_address()
    failing = "process_group.end_processes('no such file', 75)"
    processes = [start(address, 0, 2), start(address, 1, 2, then=failing)]
    assert finish(processes[1])[0] == 75
    code, lines = finish(processes[0])
    assert code == 75 and any(
        "process 1 of 2 (" in line and "cannot continue: no such file" in line for line in lines
    )


@pytest.mark.parametrize("first", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_one_that_leaves_is_not_missed(first):
    address = find_address()
    leave = "process_group.leave_processes(); time.sleep({}); print('done')"
    processes = [start(address, i, 2, then=leave.format(0 if i == first else 1)) for i in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and output.endswith("done\n")


@pytest.mark.slow
def test_those_that_do_not_come_are_named():
    address = find_address()
    processes = [start(address, process_id, 4, join_seconds=15) for process_id in (0, 2)]
    for process in processes:
        code, lines = finish(process)
        assert code == 1
        assert lines == [
            f"ERROR: process 1, 3 of 4 has not joined {address} within 15.0 s; start all of them, with the same "
            "--coordinator"
        ]


def test_a_process_0_that_does_not_come_is_named():
    address = find_address()
    code, lines = finish(start(address, 1, 2, join_seconds=1))
    assert code == 1 and lines[0].startswith(
        f"ERROR: --coordinator={address}: process 0 does not answer there"
    )


@pytest.mark.slow
def test_two_of_one_number_are_refused():
    address = find_address()
    processes = [start(address, process_id, 3) for process_id in (0, 1, 1)]
    for process in processes:
        code, lines = finish(process)
        assert (
            code == 1 and "joined, but process 2 of 3 is missing; give each its own --process_id" in lines[0]
        )


@pytest.mark.slow
def test_who_tries_the_port_does_not_count():
    address = find_address()
    server = start(address, 0, 2, then="process_group.leave_processes()")
    host, port = address.split(":")
    while True:
        try:
            with socket.create_connection((host, int(port))) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                break
        except ConnectionRefusedError:
            time.sleep(0.1)
    client = start(address, 1, 2, then="process_group.leave_processes()")
    assert finish(client)[0] == 0 and finish(server)[0] == 0


SRUN = {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "node[007-008]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
MPIRUN = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
}


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets variables and returns the process's environment."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "PMI_", "JAX_COORDINATOR", "CUDA_VISIBLE")):
            monkeypatch.delenv(name)

    def set_variables(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return os.environ

    return set_variables


def test_a_process_without_others_is_alone(environment):
    assert find_place(None, None, None, environment()) is None


def test_a_slurm_job_without_srun_is_one_process(environment):
    variables = {name: SRUN[name] for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID")}
    assert find_place(None, None, None, environment(**variables)) is None


def test_one_task_of_srun_is_alone(environment):
    variables = SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
    assert find_place(None, None, None, environment(**variables)) is None


def test_srun_tells_everything(environment):
    # JAX: the step's first node, and of the last 4,096 ports that of the job's number.
    assert find_place(None, None, None, environment(**SRUN)) == Place("node007:61441", 4, 3, (1,))


@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({"CUDA_VISIBLE_DEVICES": "1"}, (0,)),  # its own alone
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, (1,)),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "CUDA_VISIBLE_DEVICES": "0,1"}, (1,)),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, (2, 3)),
        ({"SLURM_STEP_TASKS_PER_NODE": "3,1", "SLURM_NODEID": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, None),
        ({"SLURM_STEP_TASKS_PER_NODE": "4", "CUDA_VISIBLE_DEVICES": "0,1"}, None),  # two of its own
        ({"SLURM_GPUS_PER_TASK": "2", "CUDA_VISIBLE_DEVICES": "0,1"}, None),
    ],
)
def test_a_task_takes_its_part_of_the_gpus_that_it_sees(environment, variables, devices):
    assert find_place(None, None, None, environment(**SRUN | variables)).local_device_ids == devices


def test_gpus_that_do_not_divide_over_the_tasks_are_refused(environment):
    variables = {"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2"}
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=0,1,2: 3 devices do not divide over the 2"):
        find_place(None, None, None, environment(**SRUN | variables))


def test_open_mpi_divides_the_gpus_of_a_machine(environment):
    variables = {"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "CUDA_VISIBLE_DEVICES": "4,5,6,7"}
    assert find_place(None, None, None, environment(**MPIRUN | variables)).local_device_ids == (0, 1)


def test_open_mpi_tells_everything(environment):
    place = find_place(None, None, None, environment(**MPIRUN))
    assert (place.coordinator.split(":")[0], place.num_processes, place.process_id) == ("10.96.0.1", 2, 0)


@pytest.mark.parametrize(
    "variables",
    [
        {"PMI_SIZE": "2", "PMI_RANK": "1"},
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},  # Open MPI 5 gives no address
    ],
    ids=["MPICH", "Open MPI 5"],
)
def test_another_mpi_needs_the_address_alone(environment, variables):
    assert find_place("host:5000", None, None, environment(**variables)) == Place("host:5000", 2, 1)
    with pytest.raises(UserError, match="--coordinator: .*MPI gives no address; give HOST:PORT"):
        find_place(None, None, None, environment())


def test_all_three_by_hand(environment):
    assert find_place("host:5000", 2, 1, environment()) == Place("host:5000", 2, 1)
    assert find_place("[::1]:5000", 2, 1, environment()) == Place("[::1]:5000", 2, 1)
    assert find_place("host:5000", 1, 0, environment()) is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("host:5000", None, None), "give all three, or none under srun or mpirun"),
        (("host:5000", 2, None), "give all three"),
        ((None, 2, 1), "--coordinator: is not given; give HOST:PORT"),
        (("host:5000", 2, 2), "--process_id=2: must be from 0 to --num_processes=2 less 1"),
        (("host", 2, 1), "--coordinator=host: must be HOST:PORT"),
        (("host:99999", 2, 1), "--coordinator=host:99999: must be HOST:PORT"),
    ],
)
def test_what_does_not_suffice_is_named(environment, given, text):
    with pytest.raises(UserError, match=text):
        find_place(*given, environment())


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("", 0)) as taken:
        address = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"--coordinator={address}: cannot listen there"):
            process_group.join_processes(address, 2, 0)


def test_two_processes_do_not_both_draw_one_folder(tmp_path):
    """Each would draw every image, and write it where the other writes it."""
    address = find_address()
    folder = tmp_path / "prints"
    command = [sys.executable, "-m", "launch.synthesize", f"--gan_workdir={tmp_path}", f"--out_dir={folder}"]
    command += [f"--coordinator={address}", "--num_processes=2"]
    processes = [
        subprocess.Popen(
            [*command, f"--process_id={process_id}"],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process_id in range(2)
    ]
    for code, lines in map(finish, processes):
        assert code == 1
        # Its own mistake, or the other's, which was faster.
        assert lines[-1].startswith("ERROR: ")
        assert "several processes can draw together only with --num_images or --condition_dir" in lines[-1]
    assert not folder.exists()
