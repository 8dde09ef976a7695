import numpy as np

from unfreeze.stages.evaluate import tabulate_predictions


def test_predictions_name_the_classes() -> None:
    table = tabulate_predictions(["i", "j"], np.array([0, 1]), np.array([[0.7, 0.3], [0.6, 0.4]]), ["cat", "dog"])
    assert table.to_dict("records") == [
        {"id": "i", "label": "cat", "predicted": "cat", "correct": True, "p_cat": 0.7, "p_dog": 0.3},
        {"id": "j", "label": "dog", "predicted": "cat", "correct": False, "p_cat": 0.6, "p_dog": 0.4},
    ]
