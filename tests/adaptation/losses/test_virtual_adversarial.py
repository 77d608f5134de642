"""The virtual adversarial direction against random ones and against the Hessian's own eigenvector."""

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.adaptation.losses.virtual_adversarial import (
    virtual_adversarial_loss,
    virtual_adversarial_perturbation,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 4))


def pictures(count: int = 5) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, 2, 2)


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    p, q = logits.softmax(1), others.softmax(1)
    return (p * (p.log() - q.log())).sum(1)


def test_every_row_is_moved_by_the_radius() -> None:
    moves = virtual_adversarial_perturbation(network(), pictures(), radius=0.7)
    assert moves.shape == (5, 3, 2, 2)
    assert moves.flatten(1).norm(dim=1).tolist() == pytest.approx([0.7] * 5, rel=1e-5)


def test_it_changes_the_prediction_more_than_random_directions_do() -> None:
    model, images = network(), pictures(20)
    with torch.no_grad():
        logits = model(images)
        found = divergence(logits, model(images + virtual_adversarial_perturbation(model, images, radius=0.5)))
        for seed in range(10):
            noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
            noise = 0.5 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            assert (divergence(logits, model(images + noise)) < found).float().mean() >= 0.9


def test_many_iterations_find_the_largest_eigenvector_of_the_hessian() -> None:
    model, images = network().double(), pictures(3).double()
    found = virtual_adversarial_perturbation(model, images, radius=1.0, xi=1e-5, iterations=60)
    for row in range(3):
        picture = images[row : row + 1]

        def change(move: Tensor, picture: Tensor = picture) -> Tensor:
            return divergence(model(picture).detach(), model(picture + move.view(1, 3, 2, 2)))[0]

        hessian = torch.autograd.functional.hessian(change, torch.zeros(12, dtype=torch.float64))
        largest = torch.linalg.eigh(hessian).eigenvectors[:, -1]
        assert abs((found[row].flatten() @ largest).item()) == pytest.approx(1, abs=1e-3)


def test_the_default_step_is_small_enough_and_not_lost_in_float32() -> None:
    model, images, noise = network(), pictures(), torch.Generator()
    single = virtual_adversarial_perturbation(model, images, radius=1.0, generator=noise.manual_seed(3))
    exact = virtual_adversarial_perturbation(
        model.double(), images.double(), radius=1.0, xi=1e-6, generator=noise.manual_seed(3)
    )
    assert nn.functional.cosine_similarity(single.flatten(1).double(), exact.flatten(1)).min().item() > 0.999


def test_the_loss_is_the_mean_divergence_at_the_perturbed_pictures() -> None:
    model, images = network(), pictures()
    noise = torch.Generator()
    loss = virtual_adversarial_loss(model, images, model(images), radius=0.5, generator=noise.manual_seed(2))
    moved = images + virtual_adversarial_perturbation(model, images, radius=0.5, generator=noise.manual_seed(2))
    torch.testing.assert_close(loss, divergence(model(images), model(moved)).mean())


def test_logits_that_are_there_save_a_run_but_not_under_autocast() -> None:
    model, images, runs = network(), pictures(), list[int]()

    def counted(inputs: Tensor) -> Tensor:
        runs.append(len(inputs))
        found: Tensor = model(inputs)
        return found

    virtual_adversarial_loss(counted, images, model(images), radius=0.5)
    assert runs == [5, 5]
    with torch.autocast("cpu", torch.bfloat16):
        virtual_adversarial_loss(counted, images, model(images), radius=0.5)
    assert len(runs) == 5


def test_weights_get_the_gradient_of_the_last_run_only_and_logits_and_pictures_none() -> None:
    model, images = network(), pictures().requires_grad_()
    logits = model(images).detach().requires_grad_()
    virtual_adversarial_perturbation(model, images, radius=0.5)
    assert all(weight.grad is None for weight in model.parameters())
    noise = torch.Generator()
    virtual_adversarial_loss(model, images, logits, radius=0.5, generator=noise.manual_seed(2)).backward()
    assert logits.grad is None
    assert images.grad is None
    moved = (
        images + virtual_adversarial_perturbation(model, images, radius=0.5, generator=noise.manual_seed(2))
    ).detach()
    expected = torch.autograd.grad(divergence(logits.detach(), model(moved)).mean(), list(model.parameters()))
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_the_direction_is_found_in_float32_inside_autocast_and_where_gradients_are_off() -> None:
    model, images = network(), pictures()
    noise = torch.Generator()
    outside = virtual_adversarial_perturbation(model, images, radius=0.5, generator=noise.manual_seed(2))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        inside = virtual_adversarial_perturbation(model, images, radius=0.5, generator=noise.manual_seed(2))
        loss = virtual_adversarial_loss(model, images, model(images), radius=0.5)
    assert torch.equal(inside, outside)
    assert loss.dtype == torch.float32


def test_a_network_that_does_not_look_at_the_picture_costs_nothing() -> None:
    model, images = network(), pictures()
    nn.init.zeros_(model[1].weight)  # type: ignore[index]
    loss = virtual_adversarial_loss(model, images, model(images), radius=0.5)
    loss.backward()
    assert loss.item() == 0
    assert not virtual_adversarial_perturbation(model, images, radius=0.5).any()
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


def test_wrong_sizes_and_steps_are_errors() -> None:
    model, images = network(), pictures()
    with pytest.raises(ValueError, match=r"one row a picture of 5, not \(4, 4\)"):
        virtual_adversarial_loss(model, images, model(images)[:4], radius=0.5)
    for wrong in ({"radius": 0.0}, {"radius": 1.0, "xi": 0.0}, {"radius": 1.0, "iterations": 0}):
        with pytest.raises(ValueError, match="above zero"):
            virtual_adversarial_loss(model, images, model(images), **wrong)  # type: ignore[arg-type]
