import numpy as np

from mtkit.training.order import chained

ONE, OTHER = np.array([4, 7, 9]), np.array([4, 7, 8])


def test_pairs_their_tokens_and_the_order_of_updates_count() -> None:
    orders = [chained("", ONE, 20), chained("", OTHER, 20), chained("", ONE, 21)]
    orders += [chained(orders[0], OTHER, 20), chained(orders[1], ONE, 20)]
    assert len(set(orders)) == len(orders)


def test_the_order_within_an_update_does_not_count() -> None:
    assert chained("before", ONE, 20) == chained("before", ONE[::-1], 20)
