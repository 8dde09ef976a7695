from unfreeze.stages.search import best_trial


def trial(number: int, loss: float, parameters: int) -> dict[str, float]:
    return {"trial": number, "val_loss": loss, "trainable_parameters": parameters}


def test_the_lowest_loss_wins() -> None:
    assert best_trial([trial(1, 0.5, 10), trial(2, 0.4, 99), trial(3, 1e9, 1)])["trial"] == 2


def test_a_tie_goes_to_fewer_trained_parameters() -> None:
    assert best_trial([trial(1, 0.4, 99), trial(2, 0.4, 10)])["trial"] == 2
