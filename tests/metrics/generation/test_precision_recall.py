"""Improved precision and recall against the definition written out, and where the answer is known."""

import pytest
import torch
from torch import Tensor

from lhy_lightning.metrics.generation.distances import kth_nearest_distance, squared_distances
from lhy_lightning.metrics.generation.precision_recall import ImprovedPrecisionRecall, precision_recall


def blob(rows: int, centre: float, seed: int) -> Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed)) * 0.5 + centre


def plain_share(points: Tensor, manifold: Tensor, k: int) -> float:
    """Share of points that lie in a ball around one of the manifold's rows (equation 1)."""
    hits = 0
    for point in points:
        for i, row in enumerate(manifold):
            others = torch.cat([manifold[:i], manifold[i + 1 :]])
            radius = (others - row).norm(dim=1).sort().values[k - 1]
            if (point - row).norm() <= radius:
                hits += 1
                break
    return hits / len(points)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("chunk", [7, 1024])
def test_both_are_those_of_the_definition(k: int, chunk: int) -> None:
    real, generated = blob(40, 0.0, 1).double(), blob(31, 0.4, 2).double()
    found = precision_recall(real, generated, k=k, chunk=chunk)
    assert found.precision.item() == pytest.approx(plain_share(generated, real, k))
    assert found.recall.item() == pytest.approx(plain_share(real, generated, k))


def test_the_same_pictures_have_both_and_foreign_ones_neither() -> None:
    real = blob(50, 0.0, 1)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, blob(50, 100.0, 2)) == (0.0, 0.0)


def test_half_of_the_modes_is_full_precision_and_half_the_recall() -> None:
    left, right = blob(200, 0.0, 1), blob(200, 50.0, 2)
    found = precision_recall(torch.cat([left, right]), left)
    assert (found.precision.item(), found.recall.item()) == (1.0, 0.5)
    turned = precision_recall(left, torch.cat([left, right]))
    assert (turned.precision.item(), turned.recall.item()) == (0.5, 1.0)


def test_one_picture_again_and_again_covers_nothing_else() -> None:
    real = blob(50, 0.0, 1)
    found = precision_recall(real, real[:1].repeat(50, 1))
    assert found.precision.item() == 1.0
    assert found.recall.item() == pytest.approx(1 / 50)  # its balls have no size


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    real, generated = blob(40, 0.0, 1).double(), blob(40, 0.3, 2).double()
    assert precision_recall(real + 1e5, generated + 1e5) == precision_recall(real, generated)


def test_a_row_is_not_its_own_neighbour_but_its_copy_is() -> None:
    points = torch.tensor([[0.0], [0.0], [3.0]])
    assert kth_nearest_distance(points, 1).tolist() == [0.0, 0.0, 9.0]
    assert kth_nearest_distance(points, 2, chunk=2).tolist() == [9.0, 9.0, 9.0]
    assert squared_distances(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])).item() == 25.0


def test_batches_and_ranks_in_any_split_give_the_shares_of_all_rows() -> None:
    real, generated = blob(40, 0.0, 1), blob(30, 0.4, 2)
    first, second = ImprovedPrecisionRecall(3), ImprovedPrecisionRecall(3)
    first.update(real[:11], real=True)
    second.update(real[11:], real=True)
    for part in generated[:20].split(6):
        first.update(part)
    second.update(generated[20:])
    first.merge_state(second)
    assert first.compute() == precision_recall(real, generated)
    given = ImprovedPrecisionRecall(3, real=real)
    given.reset()
    given.update(generated)
    assert given.compute() == precision_recall(real, generated)


def test_a_rank_without_rows_takes_part_with_the_same_shape() -> None:
    gathered: list[torch.Size] = []

    def gather(state: Tensor, group: object) -> list[Tensor]:
        gathered.append(state.shape)
        return [state, torch.ones(2, 3)]

    metric = ImprovedPrecisionRecall(3, real=blob(5, 0.0, 1))
    metric.sync(dist_sync_fn=gather, distributed_available=lambda: True)
    assert gathered == [(0, 3)]
    assert torch.equal(torch.as_tensor(metric.features), torch.ones(2, 3))


def test_what_cannot_be_measured_is_named() -> None:
    real = blob(5, 0.0, 1)
    with pytest.raises(ValueError, match="2 rows have no neighbour number 3"):
        precision_recall(real, real[:2])
    with pytest.raises(ValueError, match="not finite"):
        precision_recall(real, real / 0)
    with pytest.raises(ValueError, match=r"expected features \(N, D\)"):
        precision_recall(real, real[:, :2])
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        ImprovedPrecisionRecall(4).update(real)
    with pytest.raises(ValueError, match="were given"):
        ImprovedPrecisionRecall(3, real=real).update(real, real=True)
    metric = ImprovedPrecisionRecall(3)
    metric.update(real)
    with pytest.raises(ValueError, match="0 rows have no neighbour number 3"):
        metric.compute()
