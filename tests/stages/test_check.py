import pandas as pd

from unfreeze.stages.check import images_per_class


def test_a_class_without_a_readable_image_counts_as_zero() -> None:
    rows = pd.DataFrame({"path": list("abc"), "label": ["x", "x", "y"], "verdict": ["ok", "ok", "unreadable"]})
    assert images_per_class(rows).to_dict("list") == {"label": ["x", "y"], "images": [2, 0]}
