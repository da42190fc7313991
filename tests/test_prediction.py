"""Prediction: the strongest response of every pixel, and a network left as it was."""

import numpy as np
import torch

from nital.network import Network
from nital.prediction import predict


def test_labels_are_the_strongest_responses() -> None:
    network = Network(n_filters=5, n_responses=4, seed=1)
    pixels = np.random.default_rng(0).random((7, 9, 3), dtype=np.float32)
    labels = predict(network, pixels)
    with torch.no_grad():
        responses = network(torch.from_numpy(pixels.transpose(2, 0, 1)[np.newaxis].copy()))[0]
    assert labels.shape == (7, 9)
    assert labels.dtype == np.int64
    for row in range(7):
        for col in range(9):
            values = responses[:, row, col].tolist()
            assert values[labels[row, col]] >= max(values) - 1e-5


def test_prediction_changes_nothing_and_repeats() -> None:
    network = Network(n_filters=5, n_responses=4)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    first = predict(network, pixels)
    assert (first == predict(network, pixels)).all()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
