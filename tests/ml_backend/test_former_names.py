import pytest

from ml_backend.settings import Settings


def test_a_former_name_still_works_and_says_how_it_is_called_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAND_SIZE", "7")
    with pytest.warns(FutureWarning, match="HAND_SIZE is now called ASSIGNMENT_SIZE"):
        assert Settings().assignment_size == 7
    monkeypatch.setenv("ASSIGNMENT_SIZE", "3")
    with pytest.warns(FutureWarning):
        assert Settings().assignment_size == 3
