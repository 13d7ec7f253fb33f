from models.aliases import Alias, Change, before


def moves(*pairs: tuple[str, str], alias: Alias = "champion") -> list[Change]:
    """Moves from one version to another; one that begins with ``<`` took back an earlier one."""
    return [
        Change(alias, old.lstrip("<"), new, at="", by="ann", back=old.startswith("<"))
        for old, new in pairs
    ]


def test_nothing_is_known_before_the_first_move() -> None:
    assert before("champion", "", []) is None


def test_before_the_first_version_there_was_none() -> None:
    assert before("champion", "1", moves(("", "1"))) == ""


def test_before_the_second_version_was_the_first() -> None:
    assert before("champion", "2", moves(("", "1"), ("1", "2"))) == "1"


def test_going_back_twice_is_not_there_and_back_again() -> None:
    history = moves(("", "1"), ("1", "2"), ("2", "3"), ("<3", "2"))
    assert before("champion", "2", history) == "1"


def test_a_move_after_going_back_can_be_taken_back_too() -> None:
    history = moves(("", "1"), ("1", "2"), ("<2", "1"), ("1", "3"))
    assert before("champion", "3", history) == "1"
    assert before("champion", "1", [*history, *moves(("<3", "1"))]) == ""


def test_other_aliases_are_other_histories() -> None:
    history = moves(("", "1"), ("1", "2")) + moves(("", "9"), alias="shadow")
    assert before("champion", "2", history) == "1"
    assert before("shadow", "9", history) == ""
    assert before("challenger", "", history) is None


def test_a_move_that_nobody_recorded_can_be_taken_back() -> None:
    assert before("champion", "7", moves(("", "1"))) == "1"
    assert before("champion", "8", moves(("", "1"), ("7", "8"))) == "7"
