"""Which of several processes this one is, from what a launcher put into the environment. Light: no torch.

Three launchers are known: our own (`--processes N`), torchrun, and Slurm's srun. How the processes meet and
talk is the business of `meeting.py` and `processes.py`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mtkit.errors import RunError

LAUNCHER = "MTKIT_LAUNCHER"  # set by our own launcher: file descriptors, see `Place`
MEET_SECONDS, ANSWER_SECONDS = "MTKIT_MEET_SECONDS", "MTKIT_ANSWER_SECONDS"
LOST = 75  # exit code, for our own launcher, of a process that was left alone and is the cause of nothing
FIRST_PORT, PORTS = 20_000, 20_000  # of Slurm's jobs, each its own, below those that systems hand out


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train together.

    Attributes:
        rank: its number, from 0; rank 0 leads.
        count: how many there are.
        local_rank: its number on this machine, from 0.
        local_count: how many there are on this machine.
        address: where rank 0, or torchrun's agent, answers.
        port: likewise.
        job: differs where other processes may meet at the same place.
        has_agent: True if torchrun's agent started it, as its parent.
        agent_answers: True if that agent holds what the processes leave for each other, not rank 0.
        has_own_gpus: True if other processes' GPUs are not seen here.
        listening: rank 0's file descriptor of a socket that listens already, or None.
        watcher: file descriptor that ends when our own launcher does, or None.
        meet_seconds: longest wait for all processes to come.
        answer_seconds: longest wait for a process that ought to answer.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    address: str = "127.0.0.1"
    port: int = 0
    job: str = ""
    has_agent: bool = False
    agent_answers: bool = False
    has_own_gpus: bool = False
    listening: int | None = None
    watcher: int | None = None
    meet_seconds: float = 300.0
    answer_seconds: float = 600.0

    @property
    def is_first(self) -> bool:
        """True for the process that leads: it alone talks and writes."""
        return self.rank == 0

    @property
    def is_watched(self) -> bool:
        """True if our own launcher started it, and tells of processes that die."""
        return self.watcher is not None


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """This process's place; alone if no launcher says otherwise.

    Raises:
        RunError: the variables of a launcher contradict each other or lack one.
    """
    if "RANK" in environment or (environment.get("WORLD_SIZE") and _number(environment, "WORLD_SIZE") > 1):
        place = _of_torchrun(environment)
    elif "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment:
        place = _of_slurm(environment)
    else:
        place = Place()
    if not 0 <= place.rank < place.count:
        raise _contradiction(f"this is rank {place.rank} of {place.count} processes")
    return replace(
        place,
        meet_seconds=_seconds(environment, MEET_SECONDS, place.meet_seconds),
        answer_seconds=_seconds(environment, ANSWER_SECONDS, place.answer_seconds),
    )


def _of_torchrun(environment: Mapping[str, str]) -> Place:
    count = _number(environment, "WORLD_SIZE")
    has_agent = "TORCHELASTIC_RUN_ID" in environment
    if count == 1:
        return Place(has_agent=has_agent)
    listening, watcher = _descriptors(environment)
    return Place(
        rank=_number(environment, "RANK"),
        count=count,
        local_rank=_number(environment, "LOCAL_RANK"),
        local_count=_number(environment, "LOCAL_WORLD_SIZE"),
        address=_text(environment, "MASTER_ADDR"),
        port=_port(environment),
        job=environment.get("TORCHELASTIC_RUN_ID", ""),
        has_agent=has_agent,
        agent_answers=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        listening=listening,
        watcher=watcher,
    )


def _descriptors(environment: Mapping[str, str]) -> tuple[int | None, int | None]:
    """What our own launcher hands down: the listening socket (rank 0's alone), the end of a pipe."""
    if LAUNCHER not in environment:
        return None, None
    listening, _, watcher = environment[LAUNCHER].partition(",")
    return (int(listening) if listening else None), int(watcher)


def _of_slurm(environment: Mapping[str, str]) -> Place:
    """Of a step that srun started; a batch script by itself has a job's variables and is alone."""
    counted = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    count = _number(environment, counted)
    if count == 1:
        return Place()
    listed = "SLURM_STEP_NODELIST" if "SLURM_STEP_NODELIST" in environment else "SLURM_JOB_NODELIST"
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", environment.get("SLURM_TASKS_PER_NODE", "1"))
    job = _number(environment, "SLURM_JOB_ID")
    port = _port(environment) if environment.get("MASTER_PORT") else FIRST_PORT + job % PORTS
    node = _number(environment, "SLURM_NODEID") if environment.get("SLURM_NODEID") else 0
    return Place(
        rank=_number(environment, "SLURM_PROCID"),
        count=count,
        local_rank=_number(environment, "SLURM_LOCALID"),
        local_count=tasks_of_node(tasks, node),
        address=environment.get("MASTER_ADDR") or first_host(_text(environment, listed)),
        port=port,
        job=f"{job}/{environment['SLURM_STEP_ID']}",
        has_own_gpus="SLURM_GPUS_PER_TASK" in environment,
    )


def first_host(nodes: str) -> str:
    """The first host of a list as Slurm writes it: `a,b`, `node[03-07,11]`, `rack[1-2]n[08,09]-ib`.

    Raises:
        RunError: the list has no first host.
    """
    first = re.match(r"(?:[^,\[\]]|\[[^\[\]]*\])+", nodes)
    host = re.sub(r"\[(\w+)[^\]]*\]", r"\1", first.group()) if first else ""
    if not re.fullmatch(r"[\w.:-]+", host):
        raise _contradiction(f"SLURM_JOB_NODELIST is {nodes!r}")
    return host


def tasks_of_node(tasks: str, node: int) -> int:
    """Processes on a node, from how Slurm counts them: `2(x3),1` is two on each of three nodes, then one."""
    counts: list[int] = []
    for number, repeated in re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks):
        counts += [int(number)] * int(repeated or 1)
    return counts[node] if node < len(counts) else 1


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise _contradiction(f"{name} is not set")
    return value


def _number(environment: Mapping[str, str], name: str) -> int:
    value = _text(environment, name)
    if not value.isdigit():
        raise _contradiction(f"{name} is {value!r}")
    return int(value)


def _port(environment: Mapping[str, str]) -> int:
    port = _number(environment, "MASTER_PORT")
    if not 0 < port < 1 << 16:
        raise _contradiction(f"MASTER_PORT is {port}")
    return port


def _seconds(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    value = environment.get(name, "")
    if not value:
        return otherwise
    if not re.fullmatch(r"\d+(\.\d+)?", value):
        raise RunError(
            f"{name} is {value!r}",
            where="the environment",
            expected="seconds, for example 300",
            advice=f"Set it to a number, or unset it ({otherwise:g}).",
        )
    return float(value)


def _contradiction(found: str) -> RunError:
    return RunError(
        f"the environment says that several processes train together, but {found}",
        where="the environment",
        expected="RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun"
        " sets them, or the variables of a step of Slurm",
        advice="Start the processes with `mtkit train RECIPE --processes N`, torchrun or srun, or unset RANK"
        " and WORLD_SIZE.",
    )
