import pandas as pd

from unfreeze.training import history


def test_steps_run_on_from_phase_to_phase() -> None:
    head = pd.DataFrame({"phase": "head", "epoch": [0, 1], "loss": [2.0, 1.0]})
    tuned = pd.DataFrame({"phase": "fine-tuning", "epoch": [0, 1, 2], "loss": [0.9, 0.8, 0.7]})
    joined = history.join_phases([head, tuned])
    assert joined["step"].tolist() == [1, 2, 3, 4, 5]
    assert joined["phase"].tolist() == ["head"] * 2 + ["fine-tuning"] * 3
    assert history.join_phases([head.iloc[:0], tuned])["step"].tolist() == [1, 2, 3]
