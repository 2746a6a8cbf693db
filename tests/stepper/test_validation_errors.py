"""What msgspec says is wrong with a value, by its own words: a new version that words it differently fails here."""

from typing import Annotated, Any

import msgspec
import pytest

from stepper.validation_errors import Bound, FieldProblem, read_problem

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only


class Inner(msgspec.Struct):
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]


class Checked(msgspec.Struct):
    at: int = 0

    def __post_init__(self) -> None:
        if self.at < 0:
            raise ValueError("Unusable `at`")


class Outer(msgspec.Struct):
    checked: list[Checked] = []
    points: list[Inner] = []
    inner: Inner | None = None
    seats: Annotated[int, msgspec.Meta(ge=1, le=60)] = 1
    above: Annotated[int, msgspec.Meta(gt=0, lt=10)] = 1
    ids: Annotated[list[int], msgspec.Meta(max_length=2)] = []
    names: dict[str, Annotated[float, msgspec.Meta(ge=0.5)]] = {}
    numbers: dict[int, int] = {}
    kind: str = ""
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5


def field(path: str, bound: Bound | None = None) -> FieldProblem:
    return FieldProblem(path, False, bound)


def missing(path: str) -> FieldProblem:
    return FieldProblem(path, True, None)


@pytest.mark.parametrize(
    ("value", "problem", "dotted"),
    [
        ({"checked": [{}, {"at": -1}]}, field("checked[1].at"), "checked.1.at"),
        (7, field(""), ""),
        ([], field(""), ""),
        ({"kind": 7}, field("kind"), "kind"),
        ({"seats": 0}, field("seats", Bound(">=", "1")), "seats"),
        ({"seats": 61}, field("seats", Bound("<=", "60")), "seats"),
        ({"seats": "2"}, field("seats"), "seats"),
        ({"above": 0}, field("above", Bound(">=", "1")), "above"),
        ({"above": 10}, field("above", Bound("<=", "9")), "above"),
        ({"share": 0}, field("share", Bound(">", "0")), "share"),
        ({"share": 1.0}, field("share", Bound("<", "1")), "share"),
        ({"ids": [1, 2, 3]}, field("ids"), "ids"),
        ({"ids": [1, "2"]}, field("ids[1]"), "ids.1"),
        ({"inner": {}}, missing("inner.lat"), "inner.lat"),
        ({"inner": {"lat": 90.5}}, field("inner.lat", Bound("<=", "90")), "inner.lat"),
        ({"points": [{"lat": 1}, {}]}, missing("points[1].lat"), "points.1.lat"),
        ({"points": [{"lat": -91}]}, field("points[0].lat", Bound(">=", "-90")), "points.0.lat"),
        ({"points": [[]]}, field("points[0]"), "points.0"),
        ({"names": {"a": 0.25}}, field("names[...]", Bound(">=", "0.5")), "names"),
        ({"numbers": {"a": 1}}, field("numbers"), "numbers"),
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
def test_problem_is_read(value: Any, problem: FieldProblem, dotted: str, encoded: bool) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(value), type=Outer) if encoded else msgspec.convert(value, Outer)
    found = read_problem(refused.value)
    assert (found, found.dotted) == (problem, dotted)


def test_missing_field_of_the_whole_is_named_without_a_dot() -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert({}, Inner)
    assert read_problem(refused.value) == missing("lat")
