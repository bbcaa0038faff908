# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A bench's findings: values of each side in each round, medians and spreads, ratios, targets; as
JSON and as tables.

A value belongs to a side (`mod_relay`), a measure (`https requests`) and a round. Sides run
interleaved, and ratios are taken round by round: the machine's other work changes between rounds,
and is about the same for the sides within one.
"""
import operator
import statistics
import sys
import textwrap
import time

# No line of what is printed is longer, but for a word or a row of a table that cannot be broken.
WIDTH = 100
OPS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, "==": operator.eq}


def say(text):
    """Progress, for people."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def number(value):
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"


def items(lines):
    """A list in Markdown."""
    return [
        textwrap.fill(f"- {line}",
                      WIDTH,
                      subsequent_indent="  ",
                      break_long_words=False,
                      break_on_hyphens=False) for line in lines
    ]


class Result:
    """The findings of one bench. notes are sentences that stand below its tables."""
    def __init__(self, name, what, order=()):
        """order: the sides in the order of the tables, whose ratios are to the first."""
        self.name, self.what, self.order = name, what, list(order)
        self.values = {}  # measure -> side -> [value of each round]
        self.units, self.base, self.targets, self.notes = {}, {}, [], []

    def add(self, side, measure, unit, value):
        self.units[measure] = unit
        self.values.setdefault(measure, {}).setdefault(side, []).append(value)

    def median(self, side, measure):
        values = self.values.get(measure, {}).get(side)
        return statistics.median(values) if values else None

    def ratio(self, side, other, measure):
        """The median of side/other, round by round; None when one of them was not there."""
        pairs = self.pairs(side, other, measure)
        return statistics.median(pairs) if pairs else None

    def pairs(self, side, other, measure):
        """side/other, round by round."""
        mine, others = (self.values.get(measure, {}).get(s, []) for s in (side, other))
        return [a / b for a, b in zip(mine, others) if b]

    def target(self, what, op, goal, value):
        """A target. value None: it could not be measured here, which is not the same as missed."""
        if value is None:
            self.notes.append(f"not measured here: {what}")
            return
        self.targets.append({
            "what": what, "goal": f"{op} {goal:g}", "value": round(value, 4), "holds":
            bool(OPS[op](value, goal))
        })

    def target_ratio(self, side, other, measure, op, goal, what=None):
        self.target(what or f"{measure}: {side} / {other}", op, goal,
                    self.ratio(side, other, measure))

    def note(self, text):
        self.notes.append(text)

    def json(self):
        return {
            "name":
            self.name, "sides": [{
                "name": f"{side}: {measure}", "value": statistics.median(values), "unit":
                self.units[measure], "min": min(values), "max": max(values)
            } for measure, sides in self.values.items()
                                 for side, values in sides.items()], "targets":
            self.targets
        }

    def table(self):
        """For people: a table for each measure, with ratios to its first side."""
        lines = [f"## {self.name}: {self.what}", ""]
        for measure, sides in self.values.items():
            sides = {
                s: sides[s]
                for s in [o for o in self.order if o in sides] +
                [s for s in sides if s not in self.order]
            }
            first = next(iter(sides))
            rows = [("", "median", "min to max", f"x {first}" if len(sides) > 1 else "", "rounds")]
            for side, values in sides.items():
                ratios = self.pairs(side, first, measure) if len(sides) > 1 else []
                rows.append((side, number(statistics.median(values)),
                             f"{number(min(values))} to {number(max(values))}", spread(ratios),
                             str(len(values))))
            lines += [f"### {measure} [{self.units[measure]}]", "", *columns(rows), ""]
        if self.targets:
            rows = [("target", "goal", "found", "")]
            rows += [(t["what"], t["goal"], number(t["value"]), "holds" if t["holds"] else "MISSED")
                     for t in self.targets]
            lines += columns(rows) + [""]
        lines += items(self.notes) + ([""] if self.notes else [])
        return "\n".join(lines)


def spread(ratios):
    """The median of ratios. Where there are enough of them, also the quartiles: half of the rounds
    were between those."""
    if not ratios:
        return ""
    text = f"{statistics.median(ratios):.3f}"
    if len(ratios) < 5 or min(ratios) == max(ratios):
        return text
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{text} ({low:.2f} to {high:.2f})"


def columns(rows):
    """A table in Markdown that can be read as text, too."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    out = []
    for n, row in enumerate(rows):
        out.append("| " + " | ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths))) + " |")
        if n == 0:
            out.append("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":"
                                      for i, w in enumerate(widths)) + "|")
    return out


def interleaved(rounds, sides, more=0):
    """(round, side) for all rounds. Each round starts with another side and every other one goes
    backwards, so that no side always comes after the same neighbour. more: so many further rounds
    of the first two sides alone, whose ratio must be known to a few per cent."""
    for n in range(rounds):
        for i in range(len(sides)):
            yield n, sides[(n + (i if n % 2 == 0 else -i)) % len(sides)]
    if more:
        yield from ((rounds + n, side) for n, side in interleaved(more, sides[:2]))


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]
