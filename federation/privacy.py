"""The ledger of rounds with noise: what they told of any one TV, all together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Count, Sum
from django.db.models.functions import Now

from federation.models import PrivacySpending

if TYPE_CHECKING:
    from federation.kernels.noise import NoisePlan


@dataclass(frozen=True)
class Spent:
    """(epsilon, delta) of all rounds with noise together, and how many they were."""

    rounds: int
    epsilon: float
    delta: float


def spent(*, with_plan: NoisePlan | None = None, of_round: int | None = None) -> Spent:
    """Add up the ledger, and a round by this plan, which may be in it already.

    A TV that took part in every round is told of so much at most; delta is a half of
    ``DP_DELTA`` for the sum, and the chance that any threshold of any round failed.
    """
    from federation.kernels.noise import epsilon_of

    others = PrivacySpending.objects.all()
    if of_round is not None:
        others = others.exclude(pk=of_round)
    total = others.aggregate(
        rounds=Count("pk"),
        rho=Sum("rho", default=0.0),
        delta=Sum("threshold_delta", default=0.0),
    )
    if with_plan is not None:
        total["rounds"] += 1
        total["rho"] += with_plan.rho
        total["delta"] += with_plan.threshold_delta
    rest = settings.DP_DELTA / 2
    return Spent(
        rounds=total["rounds"],
        epsilon=epsilon_of(total["rho"], rest),
        delta=total["delta"] + rest,
    )


def overspent(plan: NoisePlan, *, round_id: int | None = None) -> str:
    """Say why a round with this noise may not publish; "" if it may."""
    budget = settings.DP_BUDGET_EPSILON
    if budget is None:
        return ""
    after = spent(with_plan=plan, of_round=round_id)
    if after.epsilon <= budget:
        return ""
    return (
        f"The privacy budget is spent: with this round, {after.rounds} rounds would "
        f"tell epsilon = {after.epsilon:.3g} of a TV, and DP_BUDGET_EPSILON is "
        f"{budget:g}. The version before stays."
    )


def spend(round_id: int, plan: NoisePlan) -> None:
    """Write down what a round is about to tell; the same round counts once."""
    PrivacySpending.objects.get_or_create(
        round_id=round_id,
        defaults={
            "spent_at": Now(),
            "epsilon": plan.epsilon,
            "delta": plan.delta,
            "rho": plan.rho,
            "threshold_delta": plan.threshold_delta,
            "mechanisms": [asdict(mechanism) for mechanism in plan.mechanisms],
        },
    )
