"""ClemNet's parts: norms and dense layers against NumPy, the loss and the probabilities against their formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from funnel.core.rng import stream
from heavy_ranker.clemnet import ChannelWiseDense, ClemNet, FeatureNorm, probabilities, push_loss
from heavy_ranker.clemnet_ranker import ClemnetRanker
from heavy_ranker.push_network import PushNetwork, SparseSum

MODELS = Path(__file__).parents[2] / "configs" / "models"


def test_the_published_widths_have_the_published_number_of_parameters() -> None:
    settings = yaml.safe_load((MODELS / "clemnet_production.yaml").read_text())
    stage = ClemnetRanker(**settings)
    inputs = 300
    net = ClemNet(inputs, stage.blocks, filters=stage.filters, kernel_size=stage.kernel_size)
    # Trainable parameters of one network with D inputs: 1024 D + 3,454,725.
    assert sum(values.numel() for values in net.parameters()) == 1024 * inputs + 3_454_725
    assert (stage.sparse_bits, stage.embedding_size, stage.optimizer, stage.batch_size) == (18, 50, "sgd", 32)


def test_each_channel_has_a_dense_layer_of_its_own() -> None:
    torch.manual_seed(0)
    layer = ChannelWiseDense(3, 4, 2)
    layer.bias.data += torch.rand(3, 2)
    x = torch.rand(5, 3, 4)
    out = layer(x)
    for channel in range(3):
        expected = x[:, channel] @ layer.weight[channel] + layer.bias[channel]
        assert torch.allclose(out[:, channel], expected, atol=1e-6)


def test_a_position_is_normalised_over_rows_and_channels() -> None:
    x = torch.from_numpy(stream(0, "norm").normal(2.0, 3.0, (40, 5, 4)).astype(np.float32))
    norm = FeatureNorm(4, momentum=0.9)
    out = norm.train()(x).detach().numpy()
    values = x.numpy().astype(np.float64)
    mean, variance = values.mean(axis=(0, 1)), values.var(axis=(0, 1))
    np.testing.assert_allclose(out, (values - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
    # Moving statistics are the first batch's after one batch, and the mean of two after two.
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4)
    norm(x + 10)
    np.testing.assert_allclose(norm.moving_mean, mean + 5, rtol=1e-5)
    served = norm.eval()(x).detach().numpy()
    np.testing.assert_allclose(served, (values - mean - 5) / np.sqrt(variance + 1e-3), atol=1e-4)


def test_the_moving_statistics_forget_by_the_momentum() -> None:
    norm = FeatureNorm(1, momentum=0.75)
    for value in (0.0, 0.0, 0.0, 0.0, 8.0):
        norm.train()(torch.full((3, 1), value))
    # Four batches are as many as the momentum remembers, so that the fifth counts a quarter.
    assert float(norm.moving_mean) == pytest.approx(2.0)


def test_renorm_shows_training_what_serving_will_see() -> None:
    draw = stream(1, "renorm")
    known = torch.from_numpy(draw.normal(1.0, 2.0, (5_000, 2)).astype(np.float32))
    batch = torch.from_numpy(draw.normal(4.0, 0.5, (50, 2)).astype(np.float32)).requires_grad_()
    norm = FeatureNorm(2, renorm=True)
    norm.start_from(known)
    expected = norm.eval()(batch).detach()
    out = norm.train()(batch)
    assert torch.allclose(out, expected, atol=1e-4)
    # r and d are no functions of the batch for the gradient: the sum of normalised values has none, up to epsilon.
    out.sum().backward()
    assert batch.grad is not None
    assert float(batch.grad.abs().max()) < 1e-5
    plain = FeatureNorm(2)
    plain.start_from(known)
    assert not torch.allclose(plain.train()(batch), expected, atol=0.5)


def test_renorm_moves_its_statistics_by_the_standard_deviation() -> None:
    norm = FeatureNorm(1, momentum=0.5, renorm=True)
    norm.start_from(torch.tensor([[1.0], [3.0]]))  # mean 2, variance 1
    norm.train()(torch.tensor([[0.0], [8.0]]))  # mean 4, variance 16
    before, seen = np.sqrt(1 + 1e-3), np.sqrt(16 + 1e-3)
    assert float(norm.moving_mean) == pytest.approx(3.0)
    assert float(norm.moving_variance) == pytest.approx(((before + seen) / 2) ** 2 - 1e-3, rel=1e-5)
    # Two batches were known, so that its own momentum of 0.99 counts as a plain mean of three.
    assert float(norm.renorm_mean) == pytest.approx((2 * 2.0 + 4.0) / 3)
    assert float(norm.renorm_stddev) == pytest.approx((2 * before + seen) / 3, rel=1e-5)


def test_a_shortcut_stands_only_where_the_number_of_features_stays() -> None:
    net = ClemNet(6, (6, 6, 4), residual=True)
    kept = [block.residual is not None for block in net.blocks]  # type: ignore[union-attr]
    assert kept == [True, True, False]
    assert all(block.residual is None for block in ClemNet(6, (6, 6)).blocks)  # type: ignore[union-attr]


def test_an_engagement_is_never_likelier_than_what_it_needs() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, -1.0]])
    p = probabilities(logits)
    # sigmoid(0) = 1/2, and half of it; sigmoid(2) = 0.8808, times sigmoid(-1) = 0.2689
    assert torch.allclose(p, torch.tensor([[0.5, 0.25], [0.8808, 0.2369]]), atol=1e-4)
    assert bool((p[:, 1] <= p[:, 0]).all())


def test_the_loss_counts_engagement_only_where_it_was_opened_and_nothing_that_was_disliked() -> None:
    logits = torch.tensor([[0.3, -0.7], [0.3, -0.7], [0.3, -0.7], [0.3, -0.7]], requires_grad=True)
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    disliked = torch.tensor([False, False, False, True])
    opened, not_opened = float(np.log1p(np.exp(-0.3))), float(np.log1p(np.exp(0.3)))
    engaged, not_engaged = float(np.log1p(np.exp(0.7))), float(np.log1p(np.exp(-0.7)))
    expected = (opened + engaged) + (opened + not_engaged) + not_opened + not_opened
    loss = push_loss(logits, labels, disliked)
    assert float(loss.detach()) == pytest.approx(expected / 4, rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert bool((logits.grad[2:, 1] == 0).all())
    doubled = push_loss(logits, labels, disliked, torch.tensor([2.0, 0.0, 0.0, 0.0]))
    assert float(doubled.detach()) == pytest.approx(2 * (opened + engaged) / 4, rel=1e-6)


def test_sparse_sums_begin_at_their_biases_and_learn_the_largest_amounts() -> None:
    rows = (torch.tensor([0, 2, 2, 3]), torch.tensor([1, 3, 1]), torch.tensor([2.0, 4.0, -8.0]))
    plain = SparseSum(2, 50, max_norm=False)
    assert torch.equal(plain(rows), torch.full((3, 50), 1 / 50))  # zero weights, biases 1/50, as published
    normed = SparseSum(2, 1, max_norm=True)
    normed.weight.data[:, 0] = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    normed.bias.data.zero_()
    out = normed.train()(rows)[:, 0]
    # Bucket 1 has seen 2 and -8: 2/8 x 10; bucket 3 has seen 4: 4/4 x 1000; the row without entries is 0.
    assert torch.allclose(out, torch.tensor([1002.5, 0.0, -10.0]), rtol=1e-4)
    beyond = (torch.tensor([0, 1]), torch.tensor([1]), torch.tensor([80.0]))
    assert float(normed.eval()(beyond).detach()) == pytest.approx(10.0)  # clipped to 1
    assert float(normed.largest[1]) == 8.0


def test_features_are_treated_as_published() -> None:
    network = PushNetwork(continuous=3, binary=1, sizes=(4,), bits=1, embedding=1, renorm=False).eval()
    network.norm.moving_mean.copy_(torch.tensor([0.0, 1.0, 0.0]))
    network.norm.moving_variance.fill_(1 - 1e-3)
    x = torch.tensor([[np.e - 1, np.nan, 1e9, 1.0], [-(np.e - 1), np.inf, -1e9, 0.0]])
    none = (torch.zeros(3, dtype=torch.long), torch.empty(0, dtype=torch.long), torch.empty(0))
    out = network.transformed(x, none, none)
    # ln(e) = 1; not finite counts as 0, minus the mean of 1; clipped to 5; then the flag and two biases of 1.
    expected = torch.tensor([[1.0, -1.0, 5.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -5.0, 0.0, 1.0, 1.0]])
    assert torch.allclose(out, expected, atol=1e-5)
    network.norm.weight.data[0] = torch.nan
    assert float(network.transformed(x, none, none)[0, 0].detach()) == 0.0
