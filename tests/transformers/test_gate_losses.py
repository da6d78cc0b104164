from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tierkeep.errors import InputError
from tierkeep_transformers.training.losses import capacity_loss, soft_sizes, sparsity_loss, supervised, token_losses


def constant(beta: float, tokens: int = 10, rows: int = 2) -> Tensor:
    return torch.full((rows, 3, tokens), beta).log()


@pytest.mark.parametrize("block", [3, 256])
@pytest.mark.parametrize("beta", [0.3, 0.9])
def test_soft_size_of_a_constant_beta_has_a_closed_form(beta: float, block: int) -> None:
    t = torch.arange(1, 11)
    torch.testing.assert_close(soft_sizes(constant(beta), block=block)[0, 0], (1 - beta**t) / (1 - beta))


def test_capacity_loss_of_a_constant_beta() -> None:
    t = torch.arange(1, 11)
    over = ((1 - 0.9**t) / 0.1 - 2).clamp(min=0)
    paper, sizes = capacity_loss({0: constant(0.9), 1: constant(0.3)}, 2, norm="paper")
    torch.testing.assert_close(paper, (over / t).mean() / 2)  # the second layer never holds 2
    assert sizes[0] == pytest.approx(float((1 - 0.9**10) / 0.1), rel=1e-5)
    active, _ = capacity_loss({0: constant(0.9)}, 2, norm="active")
    torch.testing.assert_close(active, (over / (t - 2).clamp(min=1))[over > 0].mean())


def test_a_joint_budget_may_be_shared_unequally() -> None:
    log_beta = {0: constant(0.9), 1: constant(0.3)}
    t = torch.arange(1, 11)
    mean = ((1 - 0.9**t) / 0.1 + (1 - 0.3**t) / 0.7) / 2
    joint, _ = capacity_loss(log_beta, 2, joint=True)
    torch.testing.assert_close(joint, ((mean - 2).clamp(min=0) / t).mean())
    assert float(joint) < float(capacity_loss(log_beta, 2)[0])  # what one layer leaves, another may have


def test_padding_is_never_held_and_its_time_does_not_count() -> None:
    log_beta = -torch.rand(1, 2, 8, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([torch.full((1, 2, 5), -0.01), log_beta], dim=-1)
    real = torch.arange(13)[None] >= 5
    for norm in ("paper", "active"):
        alone = capacity_loss({0: log_beta}, 1.2, norm=norm)  # type: ignore[arg-type]
        with_padding = capacity_loss({0: padded}, 1.2, norm=norm, real=real, block=4)  # type: ignore[arg-type]
        torch.testing.assert_close(with_padding[0], alone[0])
        assert with_padding[1] == pytest.approx(alone[1])


def test_gradient_of_the_capacity_loss_is_that_of_the_dense_table() -> None:
    log_beta = (-torch.rand(2, 2, 11, generator=torch.Generator().manual_seed(1))).requires_grad_()
    capacity_loss({0: log_beta}, 1.5, block=4)[0].backward()
    ours, log_beta.grad = log_beta.grad, None
    age = torch.arange(11)[:, None] - torch.arange(11)
    held = torch.where(age >= 0, (log_beta[:, :, None] * age).exp(), 0.0).sum(-1)
    ((held - 1.5).clamp(min=0) / torch.arange(1, 12)).mean().backward()
    assert ours is not None
    assert log_beta.grad is not None
    torch.testing.assert_close(ours, log_beta.grad)


@pytest.mark.parametrize("chunk", [3, 256])
def test_token_losses_are_the_definitions(chunk: int) -> None:
    random = torch.Generator().manual_seed(2)
    head = nn.Linear(6, 9, bias=False)
    student, teacher = torch.randn(2, 8, 6, generator=random, requires_grad=True), torch.randn(2, 8, 6, generator=random)
    ids = torch.randint(0, 9, (2, 8), generator=random)
    labels = ids.clone()
    labels[:, :3] = -100
    targets, counts = supervised({"input_ids": ids, "labels": labels}, True)
    ours = token_losses(head, student, teacher, targets, counts, chunk=chunk)  # type: ignore[arg-type]
    p, q = head(teacher)[:, 2:-1].softmax(-1), head(student)[:, 2:-1].softmax(-1)
    kl = (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(ours.kl, kl)
    torch.testing.assert_close(ours.ntp, -q.gather(-1, ids[:, 3:, None]).log().mean())
    torch.testing.assert_close(ours.accuracy, (q.argmax(-1) == ids[:, 3:]).float().mean())
    ours_gradient = torch.autograd.grad(ours.kl, student)[0]
    torch.testing.assert_close(ours_gradient, torch.autograd.grad(kl, student)[0])


def test_where_a_batch_teaches() -> None:
    ids = torch.arange(8).view(2, 4)
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    _, counts = supervised({"input_ids": ids, "attention_mask": mask}, False)
    assert counts.tolist() == [[False, False, True], [True, True, True]]
    with pytest.raises(InputError, match="labels"):
        supervised({"input_ids": ids}, True)
    with pytest.raises(InputError, match="no position"):
        supervised({"input_ids": ids, "labels": torch.full_like(ids, -100)}, True)


def test_sparsity_counts_the_window_whole() -> None:
    loss, held = sparsity_loss({0: constant(0.25)}, 4)
    assert float(loss) == pytest.approx(0.25)
    assert held[0] == pytest.approx(4 + 6 * 0.25)
