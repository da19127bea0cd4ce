from mtkit.batches.randomness import raw, seed_of


def test_numbers_are_decided_by_the_key_alone() -> None:
    assert raw(3, 1, 2).tolist() == raw(3, 1, 2).tolist()
    assert raw(3, 1, 2).tolist() != raw(3, 2, 1).tolist()
    assert seed_of(1, 2) != seed_of(2, 1)


def test_numbers_are_those_of_every_other_machine() -> None:
    # A checkpoint made elsewhere goes on with the same batches only as long as these stay.
    assert raw(2, 1, 2).tolist() == [8271799387826207682, 7948369750201702571]
    assert seed_of(1, 2, 3) == 3822189696
