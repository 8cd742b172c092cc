from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ml_backend.assign.distribution import distribute, surplus

ANNOTATORS = ["ann", "bob", "cho", "dee"]


def test_unassigned_tasks_are_distributed_in_turn() -> None:
    assigned = distribute(range(1, 10), {}, ["ann", "bob", "cho"], 2)
    assert assigned == {1: "ann", 2: "bob", 3: "cho", 4: "ann", 5: "bob", 6: "cho"}


def test_an_assigned_task_counts_as_the_share_of_its_run() -> None:
    assigned = distribute([1, 2, 3, 4, 5, 6], {3: "ann", 4: "cho"}, ["ann", "bob", "cho"], 2)
    assert assigned == {1: "bob", 2: "cho", 5: "ann", 6: "bob"}


def test_a_single_annotator_gets_the_best_tasks() -> None:
    assert distribute([7, 5, 3], {}, ["ann"], 2) == {7: "ann", 5: "ann"}


def test_without_annotators_nothing_is_assigned() -> None:
    assert distribute([7, 5, 3], {}, [], 2) == {}


@given(
    ranking=st.lists(st.integers(1, 60), unique=True),
    count=st.integers(1, 4),
    size=st.integers(1, 6),
    data=st.data(),
)
def test_all_assignments_together_are_the_top_of_the_ranking(
    ranking: list[int], count: int, size: int, data: st.DataObject
) -> None:
    annotators = ANNOTATORS[:count]
    assigned = (
        data.draw(st.dictionaries(st.sampled_from(ranking), st.sampled_from(annotators))) if ranking else {}
    )
    new = distribute(ranking, assigned, annotators, size)
    assert not new.keys() & assigned.keys()
    assert set(new.values()) <= set(annotators)
    top = set(ranking[: count * size])
    assert new.keys() == top - assigned.keys()


@given(count=st.integers(1, 4), size=st.integers(1, 6), data=st.data())
def test_with_one_open_task_each_every_run_gives_one_task_to_each(
    count: int, size: int, data: st.DataObject
) -> None:
    annotators = ANNOTATORS[:count]
    ranking = list(range(40))
    opened = data.draw(st.lists(st.sampled_from(ranking), min_size=count, max_size=count, unique=True))
    assigned = dict(zip(opened, annotators, strict=True))
    owner = assigned | distribute(ranking, assigned, annotators, size)
    for start in range(0, count * size, count):
        assert Counter(owner[task] for task in ranking[start : start + count]) == dict.fromkeys(annotators, 1)


def test_the_annotator_with_most_tasks_gives_the_worse_half() -> None:
    assignments = {"ann": [1, 4, 6, 8], "bob": [2, 5], "cho": []}
    spare = {"ann": [4, 6, 8], "bob": [5], "cho": []}
    assert surplus(assignments, spare) == ("ann", [6, 8])


def test_a_single_task_and_open_tasks_are_not_taken() -> None:
    assert surplus({"ann": [1], "bob": []}, {"ann": [1], "bob": []}) == ("ann", [])
    assert surplus({"ann": [1, 2], "bob": []}, {"ann": [], "bob": []}) == ("ann", [])
