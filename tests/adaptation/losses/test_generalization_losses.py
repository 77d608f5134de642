"""GroupDRO's weights, IRM's penalty and Mixup across domains, each against the definition."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy

from lhy_lightning.adaptation.losses.generalization_losses import GroupDRO, irm_penalty, mixup_across_domains
from tests.processes import free_port, run_forked

LOSSES, DOMAINS = torch.tensor([1.0, 3.0, 0.5, 2.0]), torch.tensor([0, 0, 2, 0])


def test_the_weights_follow_the_papers_update() -> None:
    robust = GroupDRO(3, step_size=0.5)
    loss = robust(LOSSES, DOMAINS)
    powers = [math.exp(0.5 * 2), 1.0, math.exp(0.5 * 0.5)]  # the domain that is not there keeps its weight
    weights = [power / sum(powers) for power in powers]
    assert robust.weights.tolist() == pytest.approx(weights)
    assert loss.item() == pytest.approx(weights[0] * 2 + weights[2] * 0.5)
    robust(LOSSES, DOMAINS)
    powers = [power**2 for power in powers]
    assert robust.weights.tolist() == pytest.approx([power / sum(powers) for power in powers])


def test_weights_go_to_the_worst_domain_come_back_and_are_in_the_state() -> None:
    robust = GroupDRO(2, step_size=1.0)
    for _ in range(300):
        robust(torch.tensor([0.0, 1.0]), torch.tensor([0, 1]))
    assert robust.weights.tolist() == [0.0, 1.0]  # exp(-300) is nothing in float32
    for _ in range(300):
        robust(torch.tensor([1.0, 0.0]), torch.tensor([0, 1]))
    assert robust.weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    other = GroupDRO(2)
    other.load_state_dict(robust.state_dict())
    assert torch.equal(other.weights, robust.weights)


def test_gradients_are_the_weights_by_the_domains_rows_and_two_steps_do_not_disturb_each_other() -> None:
    robust = GroupDRO(3, step_size=0.5)
    losses = LOSSES.clone().requires_grad_()
    first = robust(losses, DOMAINS)
    weights = robust.weights.clone()
    robust(LOSSES, DOMAINS)
    (gradient,) = torch.autograd.grad(first, losses)
    expected = [weights[0].item() / 3, weights[0].item() / 3, weights[2].item(), weights[0].item() / 3]
    assert gradient.tolist() == pytest.approx(expected)


def test_weights_stay_in_evaluation_and_at_step_size_zero() -> None:
    for robust in (GroupDRO(3, step_size=0.5).eval(), GroupDRO(3, step_size=0.0)):
        assert robust(LOSSES, DOMAINS).item() == pytest.approx((2 + 0.5) / 3)
        assert robust.weights.tolist() == pytest.approx([1 / 3] * 3)


def one_rank(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    rows = slice(0, 3) if rank == 0 else slice(3, 4)  # a domain is on one rank only, and ranks have different sizes
    scale = torch.tensor(2.0, requires_grad=True)
    robust = GroupDRO(3, step_size=0.5)
    robust(scale * LOSSES[rows], DOMAINS[rows]).backward()
    dist.all_reduce(scale.grad)
    torch.save((robust.weights, scale.grad / 2), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    port = str(free_port())
    environments = tuple(
        {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": "2"} for rank in range(2)
    )
    assert run_forked(one_rank, tmp_path, environments=environments) == [0, 0]
    scale = torch.tensor(2.0, requires_grad=True)
    robust = GroupDRO(3, step_size=0.5)
    robust(scale * LOSSES, DOMAINS).backward()
    for rank in range(2):
        weights, gradient = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(weights, robust.weights)
        torch.testing.assert_close(gradient, scale.grad)


def scale_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """By autograd, as the paper has it."""
    scale = torch.ones((), dtype=logits.dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross_entropy(scale * logits, labels), scale, create_graph=True)
    return gradient


@pytest.mark.parametrize("count", [2, 5, 8])
def test_the_penalty_is_the_product_of_two_halves_gradients_by_the_scale(count: int) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(count, 3, dtype=torch.float64, requires_grad=True), torch.randint(3, (count,))
    expected = scale_gradient(logits[::2], labels[::2]) * scale_gradient(logits[1::2], labels[1::2])
    torch.testing.assert_close(irm_penalty(logits, labels), expected)
    torch.testing.assert_close(
        torch.autograd.grad(irm_penalty(logits, labels), logits), torch.autograd.grad(expected, logits)
    )
    assert torch.autograd.gradcheck(lambda z: irm_penalty(z, labels), logits)


def test_the_penalty_is_unbiased_over_halves() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3, dtype=torch.float64), torch.randint(3, (6,))
    slopes = torch.stack([scale_gradient(logits[i : i + 1], labels[i : i + 1]) for i in range(6)]).detach()
    estimates = torch.stack([irm_penalty(logits[rows], labels[rows]) for rows in torch.randint(6, (3000, 4))])
    error = estimates.std().item() / 3000**0.5
    assert estimates.mean().item() == pytest.approx(slopes.mean().item() ** 2, abs=4 * error)


def test_the_penalty_is_zero_at_the_best_scale() -> None:
    # one row in four is the other class: the best scale makes the odds 3 to 1
    logits = math.log(3) * torch.tensor([[1.0, 0.0]]).repeat(8, 1)
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    assert irm_penalty(logits, labels).item() == pytest.approx(0, abs=1e-7)
    assert irm_penalty(3 * logits, labels).item() > 0.01


def test_rows_are_mixed_with_rows_of_another_domain_by_their_share() -> None:
    torch.manual_seed(0)
    domains = torch.tensor([0, 0, 0, 1, 1, 2])
    images = torch.arange(6.0).view(6, 1, 1, 1).repeat(1, 3, 2, 2)
    labels = torch.arange(6)
    seen = set()
    for seed in range(50):
        mixed = mixup_across_domains(images, labels, domains, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(mixed.labels, labels)
        for row in range(6):
            partner, share = int(mixed.partner_labels[row]), mixed.share[row].item()
            assert domains[partner] != domains[row]
            torch.testing.assert_close(mixed.images[row], torch.full((3, 2, 2), share * row + (1 - share) * partner))
            seen.add((row, partner))
    assert len(seen) == sum(int((domains != domains[row]).sum()) for row in range(6))  # every pair comes


def test_shares_are_beta_and_follow_the_generator() -> None:
    images, labels, domains = torch.randn(2000, 2), torch.zeros(2000, dtype=torch.int64), torch.arange(2000) % 2
    draws = [
        mixup_across_domains(images, labels, domains, alpha=0.5, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0].images, draws[1].images)
    assert not torch.equal(draws[0].images, draws[2].images)
    assert draws[0].share.mean().item() == pytest.approx(0.5, abs=0.03)
    assert draws[0].share.var().item() == pytest.approx(1 / (4 * (2 * 0.5 + 1)), abs=0.01)


def test_half_precision_gives_float32_losses_and_keeps_pictures() -> None:
    assert GroupDRO(3)(LOSSES.bfloat16(), DOMAINS).dtype == torch.float32
    assert irm_penalty(torch.randn(4, 3).bfloat16(), torch.zeros(4, dtype=torch.int64)).dtype == torch.float32
    mixed = mixup_across_domains(torch.randn(4, 3).bfloat16(), DOMAINS, DOMAINS)
    assert mixed.images.dtype == torch.bfloat16
    assert mixed.share.dtype == torch.float32


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"not 0 and 0\.01"):
        GroupDRO(0)
    with pytest.raises(ValueError, match=r"\(4,\) and \(3,\)"):
        GroupDRO(3)(LOSSES, DOMAINS[:3])
    with pytest.raises(ValueError, match=r"two rows or more, not \(1, 3\) and \(1,\)"):
        irm_penalty(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match="of one domain"):
        mixup_across_domains(torch.zeros(4, 3), DOMAINS, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"one a row of 3"):
        mixup_across_domains(torch.zeros(3, 3), DOMAINS, DOMAINS)
    with pytest.raises(ValueError, match="alpha"):
        mixup_across_domains(torch.zeros(4, 3), DOMAINS, DOMAINS, alpha=0.0)
