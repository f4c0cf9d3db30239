"""report.py: markdown tables, and a target beside each measured value that has one."""

from dataclasses import dataclass, field


def number(value, digits=2):
    """A value as a table shows it: thousands apart, nothing for what was not measured."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def verdict(value, at_most=None, at_least=None, digits=2):
    """`0.41 (≤ 0.45: reached)`; with no target the value alone."""
    if value is None:
        return "not measured"
    text = number(value, digits)
    if at_most is not None:
        return f"{text} (≤ {at_most:g}: {'reached' if value <= at_most else '**missed**'})"
    if at_least is not None:
        return f"{text} (≥ {at_least:g}: {'reached' if value >= at_least else '**missed**'})"
    return text


@dataclass
class Table:
    title: str
    columns: list
    method: str = ""
    rows: list = field(default_factory=list)

    def add(self, *cells):
        self.rows.append([number(cell) for cell in cells])

    def markdown(self):
        lines = [f"### {self.title}", ""]
        if self.method:
            lines += [self.method, ""]
        lines.append("| " + " | ".join(self.columns) + " |")
        lines.append("|---" + "|---:" * (len(self.columns) - 1) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"
