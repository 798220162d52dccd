"""Printing measurements: ours, the baseline of the same run, and the ratio, which is what counts on a noisy machine."""

from __future__ import annotations


class Table:
    def __init__(self) -> None:
        self.missed: list[str] = []

    def title(self, text: str) -> None:
        print(f"\n{text}\n{'case':<28}{'ours':>12}{'baseline':>12}{'ratio':>10}  target", flush=True)

    def row(self, name: str, ours: str, baseline: str, ratio: float, target: float | None, *, bound: str = "") -> None:
        """`target`: least ratio wanted; None when `bound` says it otherwise."""
        if (target is not None and ratio < target) or bound.startswith("NOT"):
            self.missed.append(name.strip())
        wanted = bound if target is None else f"{'at least' if ratio >= target else 'NOT'} {target:g}x"
        print(f"{name:<28}{ours:>12}{baseline:>12}{ratio:>9.1f}x  {wanted}", flush=True)

    def note(self, text: str) -> None:
        print(f"  · {text}", flush=True)


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def milliseconds(value: float) -> str:
    return f"{value * 1000:.1f} ms"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"
