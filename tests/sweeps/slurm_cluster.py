r"""Owns a real Slurm of one machine for tests: controller, node daemon and munge on the loopback, in one folder.

Needs Debian's slurm-wlm and munge (apt-get install --no-install-recommends slurm-wlm munge) and to be root. Nothing
outside the folder is written, and no service of the system is touched. By hand:

python -m tests.sweeps.slurm_cluster up FOLDER && export SLURM_CONF=FOLDER/slurm.conf
python -m tests.sweeps.slurm_cluster down FOLDER
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "squeue", "scancel")
_DAEMONS = ("slurmd", "slurmctld", "munged")  # in the order in which they are ended
_START_SECONDS = 30
# Daemons are where the system's administrator's programs are.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# Four cores whatever the machine has, and two GPUs in name only. An urgent job takes the place of
# a normal one, which has 20 seconds to leave and is put into the queue again; one of "sudden" has no notice.
_SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=sudden Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=0
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""


def find_missing() -> str:
    """Say what a cluster needs and this machine lacks; "" for nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian's slurm-wlm and munge)"
    return "" if os.geteuid() == 0 else "a Slurm of its own needs root"


@contextlib.contextmanager
def run_cluster(folder: pathlib.Path):
    """Run a cluster; yields the environment in which its commands, and submitit, find it."""
    try:
        yield start(folder)
    finally:
        stop(folder)


def start(folder: pathlib.Path) -> dict[str, str]:
    """Start the daemons and wait until the node takes jobs."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    # munge refuses a place that others might write to.
    folder.chmod(0o755)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
    ports = {"controller_port": _find_free_port(), "node_port": _find_free_port()}
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(_SLURM_CONF.format(folder=folder, host=host, **ports))
    # A GPU needs a file of its own; that it is none does not matter where devices are not confined.
    (folder / "gres.conf").write_text("AutoDetect=off\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n")

    def call(*command):
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL)

    call("mungekey", "--create", f"--keyfile={folder / 'munge.key'}")
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munge.seed"}
    call("munged", "--force", *(f"--{option}={folder / name}" for option, name in files.items()))
    call("slurmctld")
    call("slurmd")
    for _ in range(_START_SECONDS * 5):
        if "idle" in _ask("sinfo", "--noheader", "--format=%T", environment=environment):
            return environment
        time.sleep(0.2)
    raise RuntimeError(f"no node is idle after {_START_SECONDS} s; see {folder}/slurmctld.log, slurmd.log")


def stop(folder: pathlib.Path) -> None:
    """End the jobs and the daemons, those of this folder only."""
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
    if (folder / "slurmctld.pid").exists():
        _ask("scancel", "--me", "--signal=KILL", "--full", environment=environment)
        _ask("scancel", "--me", environment=environment)
        for _ in range(50):
            if not _ask("squeue", "--noheader", environment=environment):
                break
            time.sleep(0.2)
    for name in _DAEMONS:
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            for _ in range(50):
                os.kill(pid, 0)
                time.sleep(0.1)


def _ask(*command, environment) -> str:
    result = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    return result.stdout.strip()


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    {"up": start, "down": stop}[sys.argv[1]](pathlib.Path(sys.argv[2]).resolve())
