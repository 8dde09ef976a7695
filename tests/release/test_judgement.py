"""Verdicts on literal cases, on whatever predictions, and how often they are right over 1,000 simulated pairs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import pairs
from unfreeze.records.judgement_record import ClassRecalls, Comparison
from unfreeze.release import judgement
from unfreeze.release.judgement import Contender, judge
from unfreeze.settings.study import Promote

TERMS = Promote(model="unfreeze", margin=0.01, class_floor=0.5, max_size_mb=100, max_latency_ms=50)
CLASSES = ["cat", "dog"]
# MB, and milliseconds.
SAME = (20.0, 10.0)
HALF = (10.0, 5.0)
IMAGES = 800
# Of 800 images the two disagree on about 80: as two backbones that are right on 85 to 90 % do.
DISCORDANT = 0.1


def pair(only_challenger: int, only_champion: int, images: int = IMAGES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels and the answers of champion and challenger, who are else both right."""
    labels = np.arange(images) % 2
    champion, challenger = labels.copy(), labels.copy()
    champion[:only_challenger] = 1 - labels[:only_challenger]
    challenger[images - only_champion :] = 1 - labels[images - only_champion :]
    return labels, champion, challenger


def verdict(
    answers: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    cost: tuple[float, float] = SAME,
    terms: Promote = TERMS,
) -> Comparison:
    labels, champion, challenger = answers
    return judge(
        labels,
        CLASSES,
        champion=Contender(champion, *SAME),
        challenger=Contender(challenger, *cost),
        terms=terms,
        seed=0,
    )


def test_a_better_challenger_is_promoted() -> None:
    result = verdict(pair(60, 20))
    assert result.verdict == "promote"
    assert result.difference.value == pytest.approx(0.05)
    assert result.difference.low > 0
    assert result.more_images is None
    assert result.text.startswith("promote: it is better by +5.0 points (+")


def test_a_worse_challenger_is_not_even_if_it_is_cheaper() -> None:
    assert verdict(pair(20, 60)).verdict == "keep"
    cheaper = verdict(pair(20, 60), cost=(2, 1))
    assert cheaper.verdict == "keep"
    assert "worse" in cheaper.text


def test_a_tie_is_not_promoted() -> None:
    assert verdict(pair(40, 40)).verdict == "cannot tell"
    assert verdict(pair(0, 0)).verdict == "keep"


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ((20, 8), "promote"),
        ((16, 10), "promote"),
        ((16, 10.4), "promote"),
        # Faster, but the file is larger: nobody can say that it is cheaper.
        ((25, 8), "keep"),
        ((20, 8.5), "keep"),
    ],
)
def test_no_worse_and_cheaper_is_promoted(cost: tuple[float, float], expected: str) -> None:
    assert verdict(pair(5, 5, images=2000), cost=cost).verdict == expected


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"class_floor": 0.99}, "of class dog"),
        ({"max_size_mb": 19}, "its file takes 20.0 MB, more than the 19 MB allowed"),
        ({"max_latency_ms": 9}, "an answer takes 10.0 ms, more than the 9 ms allowed"),
    ],
)
def test_a_limit_that_is_broken_keeps_the_champion_however_good_the_challenger_is(
    limit: dict[str, float], told: str
) -> None:
    result = verdict(pair(100, 20), terms=TERMS.model_copy(update=limit))
    assert result.verdict == "keep"
    assert told in " ".join(result.reasons)


@pytest.mark.parametrize(
    ("floors", "scores", "told"),
    [
        ({"auc": 0.9}, {"auc": 0.85}, "its AUC is 0.850, and at least 0.9 is wanted"),
        ({"log_loss": 0.3}, {"log_loss": 0.4}, "its log-loss is 0.400, and at most 0.3 is wanted"),
        ({"auc": 0.9}, {"auc": None}, "its AUC is not defined, and at least 0.9 is wanted"),
        ({"auc": 0.9, "log_loss": 0.3}, {"auc": 0.9, "log_loss": 0.3}, ""),
    ],
)
def test_any_metric_can_have_a_floor(floors: dict[str, float], scores: dict[str, float | None], told: str) -> None:
    labels, champion, challenger = pair(60, 20)
    result = judge(
        labels,
        CLASSES,
        champion=Contender(champion, *SAME),
        challenger=Contender(challenger, *SAME, scores=scores),
        terms=TERMS.model_copy(update={"floors": floors}),
        seed=0,
    )
    assert result.verdict == ("keep" if told else "promote")
    assert told in result.text


def test_a_floor_of_no_metric_names_those_that_there_are() -> None:
    with pytest.raises(
        UnfreezeError, match="promote.floors names acuracy, which is no metric: take some of accuracy"
    ):
        judgement.find_missed_floors({"acuracy": 0.9}, {})


def test_without_floors_the_terms_are_those_of_earlier_versions() -> None:
    assert set(TERMS.model_dump(exclude_defaults=True)) == {
        "model", "margin", "class_floor", "max_size_mb", "max_latency_ms"
    }  # fmt: skip


def test_a_limit_is_met_where_it_is_reached() -> None:
    terms = TERMS.model_copy(update={"max_size_mb": 20, "max_latency_ms": 10})
    assert verdict(pair(60, 20), terms=terms).verdict == "promote"


def test_cannot_tell_says_how_many_more_images_would() -> None:
    result = verdict(pair(48, 36))
    assert result.verdict == "cannot tell"
    assert f"about {result.more_images:,} more test images" in result.text
    enough = IMAGES + result.more_images
    observed = 12 / IMAGES
    assert pairs.find_smallest_difference(enough, 84 / IMAGES, pairs=1) <= observed
    assert pairs.find_smallest_difference(enough * 97 // 100, 84 / IMAGES, pairs=1) > observed


def test_so_many_more_images_do_tell() -> None:
    """Another 200 folds of the size asked for, with the same true difference: in about 80 % the verdict is clear."""
    gap, discordant = 0.02, 0.1
    images = judgement.count_images_needed(gap, discordant)
    rng = np.random.default_rng(5)
    told = sum(verdict(simulated(gap, rng, images, discordant)).verdict == "promote" for _ in range(200))
    assert 0.72 <= told / 200 <= 0.9


def test_a_class_without_test_images_has_no_recall() -> None:
    labels = np.zeros(50, int)
    result = verdict((labels, labels, labels))
    assert result.classes["dog"] == ClassRecalls(champion=None, challenger=None, support=0)
    assert result.classes["cat"].challenger == 1


def test_flips_name_the_images_whose_answer_changes_the_new_mistakes_first() -> None:
    labels, champion, challenger = np.array([0, 1, 2, 2]), np.array([0, 0, 2, 0]), np.array([0, 1, 1, 1])
    flips = judgement.list_flips(list("wxyz"), labels, ["a", "b", "c"], champion=champion, challenger=challenger)
    assert [flip.to_json() for flip in flips] == [
        {"id": "y", "label": "c", "champion": "c", "challenger": "b", "better": False},
        {"id": "x", "label": "b", "champion": "a", "challenger": "b", "better": True},
        {"id": "z", "label": "c", "champion": "a", "challenger": "b", "better": None},
    ]


numbers = st.integers(0, 2)
costs = st.tuples(st.floats(0.01, 1000), st.floats(0.01, 1000))


@settings(max_examples=60)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=60), costs, costs)
def test_any_predictions_get_a_verdict_and_two_models_cannot_each_be_better(
    rows: list[tuple[int, int, int]], first_cost: tuple[float, float], second_cost: tuple[float, float]
) -> None:
    labels, first, second = np.array(rows).T
    terms = TERMS.model_copy(update={"class_floor": 0, "max_size_mb": 1e6, "max_latency_ms": 1e6})
    first, second = Contender(first, *first_cost), Contender(second, *second_cost)
    there, back = (
        judge(labels, ["a", "b", "c"], champion=one, challenger=other, terms=terms, seed=0, resamples=200)
        for one, other in ((first, second), (second, first))
    )
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert [there.verdict, back.verdict].count("promote") < 2
    for result in (there, back):
        assert (result.more_images is None) == (result.verdict != "cannot tell")
        assert result.more_images is None or result.more_images >= 1


def simulated(
    gap: float, rng: np.random.Generator, images: int = IMAGES, discordant: float = DISCORDANT
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a test fold on which the challenger is better by a gap in truth; both miss 5 % of the images together."""
    labels = (rng.random(images) < 0.4).astype(int)
    shares = [(discordant + gap) / 2, (discordant - gap) / 2, 0.05]
    kind = rng.choice(4, images, p=[*shares, 1 - sum(shares)])
    wrong = 1 - labels
    champion = np.where((kind == 0) | (kind == 2), wrong, labels)
    challenger = np.where((kind == 1) | (kind == 2), wrong, labels)
    return labels, champion, challenger


def shares(gap: float, cost: tuple[float, float] = SAME) -> dict[str, float]:
    rng = np.random.default_rng(7)
    counted = Counter(verdict(simulated(gap, rng), cost=cost).verdict for _ in range(1000))
    return {name: count / 1000 for name, count in counted.items()}


@pytest.mark.slow
def test_a_challenger_worse_by_2_points_is_promoted_in_at_most_2_percent_of_1000_pairs() -> None:
    assert shares(-0.02).get("promote", 0) <= 0.02
    assert shares(-0.02, cost=HALF).get("promote", 0) <= 0.02


@pytest.mark.slow
def test_an_equal_challenger_is_promoted_in_at_most_5_percent_of_1000_pairs() -> None:
    found = shares(0)
    assert found["promote"] <= 0.05
    assert found["cannot tell"] >= 0.9


@pytest.mark.slow
def test_a_challenger_better_by_3_points_is_promoted_in_at_least_60_percent_of_1000_pairs() -> None:
    found = shares(0.03)
    assert found["promote"] >= 0.6
    # The rest cannot tell: none is kept for being worse.
    assert found["promote"] + found["cannot tell"] >= 0.999
