"""Trials and scores as MLflow has them, from literal values."""

from unfreeze.records.test_scores import Abstention, UnlikeImages
from unfreeze.records.trial import Trial
from unfreeze.tracking.contents import list_abstention_scores, list_trial_metrics, list_trial_params

RUNNING = {
    "trial": 3,
    "unfreeze_from": "block5_conv1",
    "unfreeze_point": 15,
    "settings": {"learning_rate": 1e-4},
    "continues": None,
    "epochs": [
        {"loss": 0.9, "accuracy": 0.5, "val_loss": 0.8, "val_accuracy": 0.6},
        {"loss": 0.7, "accuracy": 0.6, "val_loss": 0.6, "val_accuracy": 0.7},
    ],
    "failed": None,
}


def test_a_running_trial_has_its_new_epochs_and_no_results() -> None:
    assert list_trial_metrics(Trial.model_validate(RUNNING), known=1) == [
        ("loss", 0.7, 2),
        ("accuracy", 0.6, 2),
        ("val_loss", 0.6, 2),
        ("val_accuracy", 0.7, 2),
    ]


def test_a_finished_trial_has_its_results_at_the_last_epoch() -> None:
    finished = Trial.model_validate({**RUNNING, "score": 0.65, "trainable_parameters": 1000, "seconds": 2.5})
    assert list_trial_metrics(finished, known=2) == [
        ("score", 0.65, 2),
        ("trainable_parameters", 1000.0, 2),
        ("seconds", 2.5, 2),
    ]


def test_the_settings_of_a_trial_come_with_its_backbone() -> None:
    assert list_trial_params("vgg16", Trial.model_validate(RUNNING)) == {
        "backbone": "vgg16",
        "unfreeze_from": "block5_conv1",
        "unfreeze_point": 15,
        "continues": None,
        "learning_rate": 1e-4,
    }


def test_rejected_answers_are_metrics_and_a_share_of_none_is_left_out() -> None:
    of = Abstention(
        risk_area=0.02,
        lowest=1.1,
        error_rate=0.05,
        accepted=0.0,
        error=None,
        unsure=0.9,
        unlike=0.1,
        unlike_images=(UnlikeImages(kind="text pages", images=60, auroc=0.99, rejected=0.95),),
    )
    assert list_abstention_scores(of) == {
        "risk_area": 0.02,
        "accepted": 0.0,
        "unsure": 0.9,
        "unlike": 0.1,
        "unlike_auroc/text pages": 0.99,
        "unlike_rejected/text pages": 0.95,
    }
