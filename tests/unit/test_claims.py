"""Claims are decided by the numbers, and an expression can do nothing but that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seglab.tables.claims import board, check, our_numbers, published_numbers, validate
from seglab.tables.spec import Claim, TableSpec, load_table, parse_table, table_ids
from seglab.tables.values import Cell, TableValues

SETS = ("a", "b", "c")


def make(**changes) -> TableSpec:
    """Three sets with F and MAE each; the order is CAS, CACE, CE but for E, which is tied or absent."""
    columns = [
        {"name": f"{s.upper()} {m}", "set": s, "metric": k, "better": b}
        for s in SETS
        for m, k, b in (("F", "fbeta_adaptive", "higher"), ("MAE", "mae", "lower"))
    ]
    rows = [
        {"name": "CAS", "kind": "ours", "run": ["x"], "values": [0.92, 0.04, 0.84, 0.08, 0.77, 0.12]},
        {"name": "CACE", "kind": "ours", "run": ["x"], "values": [0.87, 0.08, 0.81, 0.10, 0.78, 0.15]},
        {"name": "CE [1]", "kind": "ours", "run": ["x"], "values": [0.69, 0.14, 0.43, 0.19, 0.59, 0.21]},
        {"name": "Tie", "kind": "ours", "unavailable": "later", "values": [0.92, 0.04, None, None, 0.2, 0.5]},
        {"name": "[29]", "kind": "published", "values": [None, None, 0.6, 0.3, None, None]},
        {"name": "CAS, other settings", "kind": "extra", "run": ["x"], "values": [0.99, 0.01, 0.99, 0.01, 0.99, 0.01]},
    ]
    content = {"id": "t", "paper": "p", "title": "T", "source": "s", "protocol": "p", "columns": columns, "rows": rows}
    return parse_table({**content, **changes}, "t")


def other_table(name: str) -> TableSpec:
    if name != "u":
        raise ValueError(f"table={name}: no such table")
    return make(
        id="u", rows=[{"name": "clean", "kind": "ours", "run": ["x"], "values": [0.94, 0.03, 0.9, 0.1, 0.8, 0.1]}]
    )


def paper(check_: str | None, *columns: str, at_least: int | None = None, spec: TableSpec | None = None):
    spec, claim = spec or make(), Claim("the claim", check_, columns, at_least)
    numbers = published_numbers(spec, other_table)
    return check(claim, spec=spec, numbers=numbers, columns=spec.columns, load=other_table)


F = "fbeta_adaptive"


@pytest.mark.parametrize(
    ("expression", "columns", "at_least", "state", "detail"),
    [
        ("[CAS] > [CE [1]]", [F], None, "holds", "3 of 3 columns"),
        ("[CAS] > [CACE] > [CE [1]]", [F], None, "does not hold", "2 of 3 columns; not in C F (CAS 0.770, CACE 0.780"),
        ("[CAS] > [CACE]", [F], 2, "holds", "2 of 3 columns; 2 of 3 are claimed"),
        ("[CAS] > [CACE]", [F], 3, "does not hold", "2 of 3 columns; 3 of 3 are claimed"),
        ("[CAS] < [CACE] < [CE [1]]", ["*MAE"], None, "holds", "3 of 3 columns"),
        ("[CAS] < [CACE]", ["A MAE"], None, "holds", "A MAE: CAS 0.040, CACE 0.080"),
        ("best([CAS], [*])", ["A *"], None, "holds", "2 of 2 columns; without [29] (no number)"),
        ("best([Tie], [*])", ["A *"], None, "holds", "2 of 2 columns"),
        ("best([CACE], [*])", ["C F"], None, "holds", "C F: CACE 0.780, all rows 0.200 to 0.780"),
        ("best([CACE], [*])", ["A MAE"], None, "does not hold", "A MAE"),
        ("beats([CAS], [CACE], [CE [1]])", ["A *", "B *"], None, "holds", "4 of 4 columns"),
        ("beats([CAS], [Tie])", ["A *"], None, "does not hold", "0 of 2 columns"),
        ("within([CAS], [CACE], 0.0499)", ["A F"], None, "does not hold", ""),
        ("abs([CAS] - [CACE]) <= 0.05 and not [CAS] == [CACE]", ["A F"], None, "holds", ""),
        ("[CAS] < 0 or [CAS] >= [Tie]", ["A F"], None, "holds", ""),
        ("spread([C*]) <= 0.23 and max([C*]) == [CAS] and min([C*]) != mean([C*])", ["A F"], None, "holds", ""),
        ("-[CAS] / 2 + 1 * 0.04 < 0", ["A F"], None, "holds", ""),
        ("[CAS] > [Tie]", ["B F"], None, "not printed", "no number for Tie"),
        ("[CAS] > [[29]]", [F], None, "not printed", "1 of 3 columns; A F, C F: no number for [29]"),
        ("[CAS] > [[29]]", [F], 1, "holds", "1 of 3 columns"),
        ("[[29]] > [CAS]", [F], None, "does not hold", "not in B F"),
        ("[CAS] / ([CAS] - [Tie]) > 1", ["A F"], None, "not printed", "division by zero"),
        ("[CAS|A F] > 0.9 and [CAS|A MAE] < 0.05", [], None, "holds", "CAS (A F) 0.920, CAS (A MAE) 0.040"),
        ("[CAS|A F] >= max([CAS|* F])", [], None, "holds", "CAS (* F) 0.770 to 0.920"),
        ("best([CAS|A MAE], [*|A MAE])", [], None, "holds", ""),
        ("[CAS] < [u:clean]", [F], None, "holds", "3 of 3 columns"),
        ("[CAS|A F] > [u:clean|A F]", [], None, "does not hold", "CAS (A F) 0.920, u:clean (A F) 0.940"),
        (None, [], None, "text", ""),
    ],
)
def test_verdict_on_the_papers_own_numbers(expression, columns, at_least, state, detail) -> None:
    verdict = paper(expression, *columns, at_least=at_least)
    assert (verdict.state, detail in verdict.detail) == (state, True), verdict


def test_misprint_is_decided_by_the_corrected_number() -> None:
    row = {"name": "CAS", "kind": "ours", "run": ["x"], "values": [0.9, 0.52, 0.9, 0.1, 0.9, 0.1]}
    claim = ("[CAS] < 0.1", "A MAE")
    assert paper(*claim, spec=make(rows=[dict(row)])).state == "does not hold"
    assert paper(*claim, spec=make(rows=[dict(row)], misprints={"CAS": {"A MAE": 0.052}})).state == "holds"


@pytest.mark.parametrize(
    ("expression", "columns", "part"),
    [
        ("[CAZ] > 1", [], "[CAZ]: no row 'CAZ', did you mean 'CAS'"),
        ("[CAS|A G] > 1", [], "[CAS|A G]: no column 'A G', did you mean 'A F'"),
        ("[v:clean] > 1", [], "table=v: no such table"),
        ("[u:cleen] > 1", [], "no row 'cleen' in table u, did you mean 'clean'"),
        ("[CAS] > 1", ["fbeta_adaptve"], "columns: no 'fbeta_adaptve', did you mean 'fbeta_adaptive'"),
        ("[CAS] >", [], "is not an expression"),
        ("[CAS > 1", [], "'[' without ']'"),
        ("CAS] > 1", [], "']' without '['"),
        ("[CAS] + 1", [], "is a number; expected a comparison"),
        ("1 < 2", [], "names no row"),
        ("CAS > [CAS]", [], "'CAS' is not known here"),
        ("reference_1 > [CAS]", [], "'reference_1' is not known here"),
        ("besst([CAS], [*])", [], "unknown function 'besst', did you mean 'best'"),
        ("within([CAS], [CACE]) ", [], "'within' takes 3 arguments, found 2"),
        ("[C*] > 0.5", [], "put it into min, max"),
        ("[CAS] and [CACE]", [], "is a number"),
        ("([CAS] > 1) > 0", [], "true or false"),
    ],
)
def test_mistake_names_table_claim_and_part(expression, columns, part) -> None:
    with pytest.raises(ValueError, match="table=t: claim 'the claim'") as caught:
        paper(expression, *columns)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true') > [CAS]",
        "[CAS].__class__ > 1",
        "(lambda: 1)() > [CAS]",
        "[x for x in (1, 2)] > [CAS]",
        "9 ** 9 ** 9 > [CAS]",
        "'a' * 9 > [CAS]",
        "max([CAS], *(1, 2)) > 1",
        "max([CAS], key=abs) > 1",
        "[CAS] is 1",
        "[CAS] > 1 if [CAS] else 2 > 1",
        "1e999 > [CAS]",
        "True > [CAS]",
        "(" * 400 + "[CAS]" + ")" * 400 + " > 1",
        "exec('1') > [CAS]",
    ],
)
def test_nothing_but_arithmetic_is_evaluated(expression) -> None:
    with pytest.raises(ValueError, match="table=t: claim"):
        paper(expression)


@pytest.mark.parametrize(
    ("expression", "at_least", "part"),
    [
        ("[CAS] > 1", 9, "at_least=9"),
        ("[CAS|A F] > 1", 1, "at_least needs"),
        (None, 1, "at_least without check"),
        ("[CAZ] > 1", None, "no row 'CAZ'"),
    ],
)
def test_a_table_with_such_a_claim_is_refused(expression, at_least, part) -> None:
    with pytest.raises(ValueError, match=f"table=t: claim 'x': .*{part}"):
        validate(make(claims=[{"text": "x", "check": expression, "at_least": at_least}]), other_table)


def fill(spec: TableSpec, numbers: dict[tuple[str, str], float], *, scale="small", stand_ins=None) -> TableValues:
    """Values at a scale: numbers by (row, column); stand-ins by set of the paper."""
    columns = tuple(
        replace(c, set=s, name=f"{s} {c.metric}") if stand_ins else c
        for c in spec.columns
        for s in (stand_ins.get(c.set, ()) if stand_ins else (c.set,))
    )
    place = {c.paper_name: i for i, c in enumerate(spec.columns)}
    cells = {}
    for row in spec.rows:
        for column in columns:
            number = numbers.get((row.name, column.name))
            state = "published" if row.kind == "published" else "not built" if row.unavailable else "not run"
            cells[row.name, column.name] = Cell(
                ours=(number - 0.01, number + 0.01) if number is not None else (),
                seeds=(0, 1) if number is not None else (),
                published=row.values[place[column.paper_name]] if row.values else None,
                state="done" if number is not None else state,
            )
    return TableValues(spec, scale, "a scale", columns, cells, (0, 1))


def ours(values: TableValues, expression: str, *columns: str, at_least=None, other=None):
    claim, numbers = Claim("the claim", expression, columns, at_least), our_numbers(values, other)
    return check(claim, spec=values.spec, numbers=numbers, columns=values.columns, load=other_table)


ONE = {"a": ("sod",)}
TWO = {"a": ("sod", "people")}


def test_ours_takes_the_means() -> None:
    values = fill(make(), {("CAS", "sod mae"): 0.2, ("CACE", "sod mae"): 0.3}, stand_ins=ONE)
    verdict = ours(values, "beats([CAS], [CACE])", "mae")
    assert verdict.state == "holds"
    assert verdict.detail == "A MAE: CAS 0.200, CACE 0.300; 3 columns in the paper"
    assert ours(values, "beats([CACE], [CAS])", "mae").state == "does not hold"


def test_every_stand_in_has_to_hold() -> None:
    numbers = {(r, f"{s} {F}"): v for r, s, v in (("CAS", "sod", 0.8), ("CAS", "people", 0.7), ("CACE", "sod", 0.6))}
    values = fill(make(), {**numbers, ("CACE", f"people {F}"): 0.75}, stand_ins=TWO)
    verdict = ours(values, "[CAS|A F] > [CACE|A F]")
    assert verdict.state == "does not hold"
    assert verdict.detail == "people: CAS (A F) 0.700, CACE (A F) 0.750"
    assert ours(values, "[CAS] > [CACE]", F).state == "does not hold"
    assert (
        ours(fill(make(), {**numbers, ("CACE", f"people {F}"): 0.65}, stand_ins=TWO), "[CAS] > [CACE]", F).state
        == "holds"
    )


def test_stand_ins_are_paired_by_set() -> None:
    good = {"sod": (0.9, 0.1), "people": (0.7, 0.3)}
    numbers = {("CAS", f"{s} {m}"): v for s, pair in good.items() for m, v in zip((F, "mae"), pair, strict=True)}
    # F + MAE is 1 on each set, and on no mixture of the two.
    assert ours(fill(make(), numbers, stand_ins=TWO), "[CAS|A F] + [CAS|A MAE] == 1").state == "holds"


def test_two_sets_with_one_stand_in_are_not_compared() -> None:
    values = fill(make(), {("CAS", f"sod {F}"): 0.9}, stand_ins={"a": ("sod",), "b": ("sod",)})
    verdict = ours(values, "[CAS|A F] >= [CAS|B F]")
    assert verdict == type(verdict)("not run", "its data sets have one and the same stand-in at this scale")


def test_columns_that_a_scale_leaves_out() -> None:
    values = fill(make(), {("CAS", f"sod {F}"): 0.9, ("CACE", f"sod {F}"): 0.8}, stand_ins=ONE)
    assert ours(values, "[CAS] > [CACE]", F, at_least=1).state == "holds"
    assert ours(values, "[CAS] > [CACE]", F, at_least=2).state == "not run"
    assert ours(values, "[CACE] > [CAS]", F, at_least=3).state == "does not hold"
    assert ours(values, "[CAS] > [CACE]", "B *").detail == "none of its columns is measured at this scale"
    assert "B F is not measured" in ours(values, "[CAS|B F] > 0").detail


def test_rows_to_come_make_it_undecided_and_rows_that_never_come_are_left_out() -> None:
    numbers = {("CAS", "A F"): 0.9, ("CACE", "A F"): 0.8}
    waiting = ours(fill(make(), numbers), "best([CAS], [*])", "A F")
    assert waiting == type(waiting)("not run", "no number for CE [1]")
    decided = ours(fill(make(), {**numbers, ("CE [1]", "A F"): 0.7}), "best([CAS], [*])", "A F")
    assert decided.state == "holds"
    assert "without Tie, [29] (no number)" in decided.detail


def test_best_of_one_is_no_verdict() -> None:
    spec = replace(make(), rows=tuple(r for r in make().rows if r.name in ("CAS", "Tie")))
    assert ours(fill(spec, {("CAS", "A F"): 0.9}), "best([CAS], [*])", "A F").state == "not run"


def test_an_extra_row_is_not_among_all_rows_but_can_be_named() -> None:
    numbers = {("CAS", "A F"): 0.9, ("CACE", "A F"): 0.8, ("CE [1]", "A F"): 0.7, ("CAS, other settings", "A F"): 0.95}
    values = fill(make(), numbers)
    assert ours(values, "best([CAS], [*])", "A F").state == "holds"
    assert ours(values, "[CAS, other settings] > [CAS]", "A F").state == "holds"


def test_quoted_numbers_count_at_the_papers_scale_only() -> None:
    numbers = {("CAS", "B F"): 0.5}
    assert ours(fill(make(), numbers, scale="paper"), "[[29]] > [CAS]", "B F").state == "holds"
    assert ours(fill(make(), numbers), "[[29]] > [CAS]", "B F").state == "not run"


def test_another_table_answers_for_the_same_column() -> None:
    values = fill(make(), {("CAS", f"sod {F}"): 0.6}, stand_ins=ONE)
    clean = fill(other_table("u"), {("clean", f"sod {F}"): 0.7}, stand_ins=ONE)
    assert ours(values, "[CAS] < [u:clean]", "A F", other=lambda name: clean).state == "holds"
    assert ours(values, "[CAS|A F] < [u:clean|A F]", other=lambda name: clean).state == "holds"
    missing = ours(values, "[CAS] < [u:clean]", "A F", other=lambda name: None)
    assert (missing.state, "clean of u" in missing.detail) == ("not run", True)


def test_a_stand_in_that_the_other_table_lacks_is_not_compared_with_another_one() -> None:
    numbers = {("CAS", f"sod {F}"): 0.6, ("CAS", f"people {F}"): 0.9}
    values = fill(make(), numbers, stand_ins=TWO)
    clean = fill(other_table("u"), {("clean", f"sod {F}"): 0.7}, stand_ins=ONE)
    verdict = ours(values, "[CAS] < [u:clean]", "A F", other=lambda name: clean)
    assert verdict == type(verdict)("holds", "A F: CAS 0.600, u:clean 0.700")
    clean = fill(other_table("u"), {("clean", f"people {F}"): 0.7}, stand_ins={"a": ("people",)})
    assert ours(values, "[CAS] < [u:clean]", "A F", other=lambda name: clean).state == "does not hold"
    clean = fill(other_table("u"), {}, stand_ins={"b": ("sod",)})
    assert ours(values, "[CAS] < [u:clean]", "A F", other=lambda name: clean).state == "not run"
    assert ours(values, "[CAS|A F] < [u:clean|A F]", other=lambda name: clean).state == "not run"


def test_not_a_number_counts_as_none() -> None:
    values = fill(make(), {("CAS", "A F"): float("nan"), ("CACE", "A F"): 0.5})
    assert ours(values, "[CAS] > [CACE]", "A F").state == "not run"


def test_board_has_both_verdicts_in_order() -> None:
    spec = make(claims=[{"text": "x", "check": "[CAS] > [CACE]", "columns": ["A F"]}, {"text": "prose"}])
    first, second = board(fill(spec, {("CAS", "A F"): 0.5, ("CACE", "A F"): 0.6}), load=other_table)
    assert (first.text, first.published.state, first.ours.state) == ("x", "holds", "does not hold")
    assert (second.published.state, second.ours.state) == ("text", "text")


@pytest.mark.parametrize("name", table_ids())
def test_claims_of_every_table_can_be_read(name) -> None:
    validate(load_table(name))
