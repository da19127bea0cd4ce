import pytest

from mtkit.errors import RunError
from mtkit.training.place import LAUNCHER, Place, first_host, read_place, tasks_of_node

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node07",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "job",
    "TORCHELASTIC_RESTART_COUNT": "2",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}
SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "9",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_TASKS_PER_NODE": "2,1",
    "SLURM_JOB_NODELIST": "gpu[007-008],login",
    "SLURM_JOB_ID": "40123",
}


def test_without_a_launcher_a_process_is_alone() -> None:
    assert read_place({}) == Place()
    assert Place().is_first


def test_torchrun_says_who_is_who() -> None:
    place = read_place(TORCHRUN)
    assert (place.rank, place.count, place.local_rank, place.local_count) == (3, 4, 1, 2)
    assert (place.address, place.port, place.agent_answers) == ("node07", 29500, True)
    assert place.has_agent
    assert not read_place({key: value for key, value in TORCHRUN.items() if "ELASTIC" not in key}).has_agent
    assert not place.is_first
    assert not place.is_watched


def test_a_restart_is_the_same_job_however_often_an_agent_counted_it() -> None:
    assert {read_place({**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": count}).job for count in "012"} == {"job"}


def test_our_own_launcher_hands_down_descriptors() -> None:
    leader = read_place({**TORCHRUN, "RANK": "0", LAUNCHER: "5,7"})
    assert (leader.listening, leader.watcher, leader.is_watched) == (5, 7, True)
    assert read_place({**TORCHRUN, LAUNCHER: ",7"}).listening is None


def test_one_process_of_torchrun_is_alone_but_for_the_agent_that_watches_over_it() -> None:
    assert read_place({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}) == Place(has_agent=True)
    assert read_place({"RANK": "0", "WORLD_SIZE": "1"}) == Place()


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_a_variable_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(RunError, match=f"{name} is not set"):
        read_place({key: value for key, value in TORCHRUN.items() if key != name})


def test_a_rank_that_cannot_be_is_told() -> None:
    with pytest.raises(RunError, match="rank 4 of 4"):
        read_place({**TORCHRUN, "RANK": "4"})
    with pytest.raises(RunError, match="MASTER_PORT is 'x'"):
        read_place({**TORCHRUN, "MASTER_PORT": "x"})
    with pytest.raises(RunError, match="MASTER_PORT is 99999"):
        read_place({**TORCHRUN, "MASTER_PORT": "99999"})
    with pytest.raises(RunError, match="WORLD_SIZE is 'many'"):
        read_place({"WORLD_SIZE": "many"})
    with pytest.raises(RunError, match="SLURM_NODEID is 'x'"):
        read_place({**SLURM, "SLURM_NODEID": "x"})


def test_a_step_of_slurm_says_who_is_who() -> None:
    place = read_place(SLURM)
    assert (place.rank, place.count, place.local_rank, place.local_count) == (2, 3, 0, 1)
    assert (place.address, place.port) == ("gpu007", 20_123)
    assert read_place({**SLURM, "MASTER_PORT": "4000", "MASTER_ADDR": "other"}).address == "other"


def test_a_batch_script_of_slurm_by_itself_is_alone() -> None:
    assert read_place({key: value for key, value in SLURM.items() if "STEP" not in key}) == Place()


def test_torchrun_within_slurm_is_torchrun() -> None:
    assert read_place({**SLURM, **TORCHRUN}).address == "node07"


def test_waiting_times_come_from_the_environment() -> None:
    place = read_place({"MTKIT_MEET_SECONDS": "5", "MTKIT_ANSWER_SECONDS": "2.5"})
    assert (place.meet_seconds, place.answer_seconds) == (5.0, 2.5)
    with pytest.raises(RunError, match="MTKIT_MEET_SECONDS is 'soon'"):
        read_place({"MTKIT_MEET_SECONDS": "soon"})


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("a", "a"),
        ("a,b", "a"),
        ("node[03-07,11]", "node03"),
        ("node[11,03-07],other", "node11"),
        ("rack[1-2]n[08,09]-ib,x", "rack1n08-ib"),
        ("10.0.0.1,10.0.0.2", "10.0.0.1"),
    ],
)
def test_the_first_host_of_a_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


@pytest.mark.parametrize("nodes", ["", "[1-2", ",a"])
def test_a_list_without_a_first_host_is_told(nodes: str) -> None:
    with pytest.raises(RunError, match="SLURM_JOB_NODELIST"):
        first_host(nodes)


def test_processes_of_a_node() -> None:
    assert [tasks_of_node("2(x3),1", node) for node in range(5)] == [2, 2, 2, 1, 1]
