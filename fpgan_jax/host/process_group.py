"""Owns how the processes of one run find one another, and that all of them end when one is gone.

Process 0 listens at the address that all are given. Each of the others connects, introduces itself, and keeps the
connection, which ends with its process at once. JAX's own heartbeats notice later, do not name a process of the run,
and end the others with a stack trace; they are left to find processes that hang.
"""

import contextlib
import dataclasses
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import NoReturn

import jax

from fpgan_jax.errors import UserError

# Seconds within which all processes must have come: a batch system may start them one after another.
JOIN_SECONDS = 300
# Seconds after which a process that hangs, or whose machine disappears silently, counts as gone.
HEARTBEAT_SECONDS = 45
# The exit code of a process that ends because another one did.
EXIT_OTHER_GONE = 1
# (number of processes, number of this one) in the environment of Slurm's srun, Open MPI and the MPICH family. In a
# Slurm job without srun there is one process, whatever SLURM_NTASKS says, and no variable of a step.
_LAUNCHERS = {
    "srun": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    "MPI": ("PMI_SIZE", "PMI_RANK"),
}
# (number of this process on its machine, number of processes there; Slurm lists the latter for all machines)
_LOCAL_PLACES = {
    "srun": ("SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),
    "Open MPI": ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
}


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of a process among the others.

    Attributes:
      coordinator: "HOST:PORT" at which process 0 listens.
      process_id: number of this one, from 0.
      local_device_ids: the devices that it takes of those it sees; None is all.
    """

    coordinator: str
    num_processes: int
    process_id: int
    local_device_ids: tuple[int, ...] | None = None


def join_processes(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Bring the processes of one run together, if there are several; to be called before JAX is used.

    Under srun and Open MPI's mpirun no argument is needed.

    Args:
      coordinator: "HOST:PORT" at which process 0 listens; the same for all.
      process_id: number of this one, from 0.

    Raises:
      UserError: the place is incomplete or contradictory, or not all processes have come.
    """
    place = find_place(coordinator, num_processes, process_id, os.environ)
    if place is None:
        return
    global _membership
    _membership = _Server(place) if place.process_id == 0 else _Client(place)
    jax.distributed.initialize(
        _membership.jax_coordinator,
        place.num_processes,
        place.process_id,
        local_device_ids=place.local_device_ids,
        cluster_detection_method="deactivate",
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )


def leave_processes() -> None:
    """Tell the others, if there are any, that this process has finished its part."""
    global _membership
    if _membership is not None:
        _membership.send(kind="leaves")
        _membership = None


def end_processes(reason: str, exit_code: int) -> None:
    """End the others, if there are any, and this process, which cannot continue for this reason."""
    if _membership is not None:
        _membership.send(
            kind="ends", text=f"{_membership.name} cannot continue: {reason}", exit_code=exit_code
        )
        sys.stdout.flush()
        # An orderly exit would wait for the others.
        os._exit(exit_code)


def find_place(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    environment: Mapping[str, str],
) -> Place | None:
    """Find the place of this process, or None if it is alone; see `join_processes`.

    Raises:
      UserError: the place is incomplete or contradictory.
    """
    launcher, found_num, found_id = _read_launcher(environment)
    num_processes = found_num if num_processes is None else num_processes
    process_id = found_id if process_id is None else process_id
    if coordinator is None and num_processes in (None, 1) and process_id in (None, 0):
        return None
    if coordinator is None:
        coordinator = _ask_jax(launcher)
    if num_processes is None or process_id is None:
        raise UserError(
            "--coordinator, --num_processes, --process_id: give all three, or none under srun or mpirun"
        )
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"--process_id={process_id}: must be from 0 to --num_processes={num_processes} less 1"
        )
    _split_address(coordinator)
    if num_processes == 1:
        return None
    return Place(coordinator, num_processes, process_id, _divide_devices(launcher, environment))


def _divide_devices(launcher: str | None, environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Choose this process's part of the devices that it sees, if others of its machine see them too."""
    rank_name, count_name = _LOCAL_PLACES.get(launcher or "", ("", ""))
    rank, counts = environment.get(rank_name, ""), _expand_counts(environment.get(count_name, ""))
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    node = int(environment.get("SLURM_NODEID", "0"))
    num_local = counts[node] if node < len(counts) else None
    if not rank.isdigit() or num_local == 1 or "SLURM_GPUS_PER_TASK" in environment:
        return None
    if not visible or num_local is None:
        # JAX's default, one device per process, of those that all processes of the machine see.
        return (0,) if visible and "," not in visible else (int(rank),)
    num_visible = len(visible.split(","))
    if num_visible < num_local:
        # The batch system shows each process its own.
        return None
    if num_visible % num_local:
        raise UserError(
            f"CUDA_VISIBLE_DEVICES={visible}: {num_visible} devices do not divide over the {num_local} processes of "
            "this machine"
        )
    part = num_visible // num_local
    return tuple(range(int(rank) * part, (int(rank) + 1) * part))


def _expand_counts(counts: str) -> list[int]:
    """Expand Slurm's "2(x3),1" to [2, 2, 2, 1], and other text to []."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", counts)
    return [int(count) for count, repeated in found for _ in range(int(repeated or 1))]


def _read_launcher(environment: Mapping[str, str]) -> tuple[str | None, int | None, int | None]:
    for launcher, names in _LAUNCHERS.items():
        if all(environment.get(name, "").isdigit() for name in names):
            num_processes, process_id = (int(environment[name]) for name in names)
            return launcher, num_processes, process_id
    return None, None, None


def _ask_jax(launcher: str | None) -> str:
    """Have JAX find the address that all processes know of."""
    # Private: the public function starts at once, and ends the process if another one is missing.
    from jax._src import clusters

    coordinator, *_ = clusters.ClusterEnv.auto_detect_unset_distributed_params(
        None, None, None, None, None, JOIN_SECONDS
    )
    if coordinator is None:
        how = f"{launcher} gives no address" if launcher else "is not given"
        raise UserError(f"--coordinator: {how}; give HOST:PORT, of process 0's machine and a free port there")
    return coordinator


def _split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator={address}: must be HOST:PORT")
    return host.strip("[]"), int(port)


class _Connection:
    """Messages, one line of JSON each, to and from one other process."""

    def __init__(self, sock: socket.socket):
        self._sock = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # For machines that disappear silently: asked after 15 s of silence, and then every 5 s.
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._lines = sock.makefile("rb")

    def send(self, **message) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict | None:
        """Wait for a message; None if the other is gone, or sends something else."""
        try:
            message = json.loads(self._lines.readline(2**16))
        except (OSError, ValueError):
            return None
        return message if isinstance(message, dict) else None

    def set_timeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    def close(self) -> None:
        self._lines.close()
        self._sock.close()

    def watch(self, who: str, others: "list[_Connection]") -> None:
        """End this process, and tell `others`, when the other one is gone or cannot continue."""

        def wait():
            message = self.receive()
            if message == {"kind": "leaves"}:
                return
            message = message or {"text": f"{who} is gone", "exit_code": EXIT_OTHER_GONE}
            text, exit_code = str(message.get("text")), int(message.get("exit_code", EXIT_OTHER_GONE))
            for other in others:
                other.send(kind="ends", text=text, exit_code=exit_code)
            # At once, whatever other threads wait for; everything on disk is whole at any moment.
            print(
                f"\nERROR: {text}, so this process ends too; run the same commands again to resume",
                file=sys.stderr,
                flush=True,
            )
            os._exit(exit_code)

        threading.Thread(target=wait, name=f"watches {who}", daemon=True).start()


class _Server:
    """Process 0: waits for all others, and then for the end of any of them."""

    def __init__(self, place: Place):
        host, port = _split_address(place.coordinator)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.name = _name_process(place)
        try:
            with socket.create_server(("", port), family=family) as listener:
                members = _gather(listener, place)
        except OSError as error:
            raise UserError(
                f"--coordinator={place.coordinator}: cannot listen there ({error.strerror})"
            ) from error
        with socket.create_server(("", 0)) as free:
            self.jax_coordinator = f"{place.coordinator.rpartition(':')[0]}:{free.getsockname()[1]}"
        self._connections = [connection for connection, _ in members.values()]
        for connection, name in members.values():
            connection.send(kind="starts", jax_coordinator=self.jax_coordinator, name=self.name)
            connection.watch(name, [other for other in self._connections if other is not connection])

    def send(self, **message) -> None:
        for connection in self._connections:
            connection.send(**message)


class _Client:
    """Another process: joins process 0, and waits for its end or for its word that another one has ended."""

    def __init__(self, place: Place):
        deadline = time.monotonic() + JOIN_SECONDS
        self.name = _name_process(place)
        self._connection = _Connection(_connect(place.coordinator, deadline))
        numbers = {"process_id": place.process_id, "num_processes": place.num_processes}
        self._connection.send(kind="comes", name=self.name, **numbers)
        # Process 0 may have started to wait later.
        self._connection.set_timeout(2 * JOIN_SECONDS)
        answer = self._connection.receive()
        if answer is None:
            raise UserError(f"--coordinator={place.coordinator}: process 0 ended before all had joined")
        if answer.get("kind") != "starts":
            raise UserError(str(answer.get("text")))
        self._connection.set_timeout(None)
        self.jax_coordinator = answer["jax_coordinator"]
        self._connection.watch(answer["name"], [])

    def send(self, **message) -> None:
        self._connection.send(**message)


_membership: _Server | _Client | None = None


def _name_process(place: Place) -> str:
    return f"process {place.process_id} of {place.num_processes} ({os.getpid()} on {socket.gethostname()})"


def _gather(listener: socket.socket, place: Place) -> dict[int, tuple[_Connection, str]]:
    """Wait until all other processes have joined; return number -> (connection, name)."""
    members: dict[int, tuple[_Connection, str]] = {}
    deadline = time.monotonic() + JOIN_SECONDS

    def refuse(text: str) -> NoReturn:
        for connection, _ in members.values():
            connection.send(kind="ends", text=text)
        raise UserError(text)

    while missing := sorted(set(range(1, place.num_processes)) - members.keys()):
        listener.settimeout(max(deadline - time.monotonic(), 1e-3))
        try:
            connection = _Connection(listener.accept()[0])
        except TimeoutError:
            refuse(
                f"process {', '.join(map(str, missing))} of {place.num_processes} has not joined "
                f"{place.coordinator} within {JOIN_SECONDS} s; start all of them, with the same --coordinator"
            )
        connection.set_timeout(10)
        hello = connection.receive()
        if hello is None or hello.get("kind") != "comes":
            connection.close()  # not one of ours
            continue
        process_id = hello.get("process_id")
        if hello.get("num_processes") != place.num_processes or process_id not in missing:
            text = (
                f"{hello.get('name')}: joined, but process {', '.join(map(str, missing))} of {place.num_processes} is "
                "missing; give each its own --process_id and all the same --num_processes"
            )
            connection.send(kind="ends", text=text)
            refuse(text)
        connection.set_timeout(None)
        members[process_id] = (connection, str(hello.get("name")))
    return members


def _connect(address: str, deadline: float) -> socket.socket:
    """Connect to process 0, which may be started later."""
    host, port = _split_address(address)
    while True:
        try:
            return socket.create_connection((host, port), timeout=10)
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"--coordinator={address}: process 0 does not answer there ({error.strerror or error}); start it, "
                    "or name its machine and port"
                ) from error
        time.sleep(0.2)
