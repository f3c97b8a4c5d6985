"""What a training may have taken of electricity: an estimate, with what it assumes.

Nothing is measured. As the ML CO2 Impact calculator does (Lacoste et al. 2019, arXiv:1910.09700), the time is taken
times the power that the processor is made for; CodeCarbon takes half of that where it cannot measure. Both are told, as
a range. Board powers are those of the makers' data sheets, the higher one where a name stands for several boards.
"""

import re
from dataclasses import dataclass

# Watts of accelerators, by what stands in their names; the longer names first.
_BOARDS = {
    "B200": 1000, "H200": 700, "H100 PCIe": 350, "H100": 700, "A100": 400, "A800": 400, "L40S": 350, "L40": 300,
    "V100": 300, "A40": 300, "A30": 165, "A10G": 150, "A10": 150, "L4": 72, "T4": 70, "P100": 250,
    "RTX 6000 Ada": 300, "RTX A6000": 300, "RTX A5000": 230, "RTX A4000": 140, "RTX 5090": 575, "RTX 5080": 360,
    "RTX 5070 Ti": 300, "RTX 5070": 250, "RTX 4090": 450, "RTX 4080": 320, "RTX 4070 Ti": 285, "RTX 4070": 200,
    "RTX 4060 Ti": 165, "RTX 4060": 115, "RTX 3090": 350, "RTX 3080": 320, "RTX 3070": 220, "RTX 3060": 170,
    "MI300X": 750, "MI250X": 560,
}  # fmt: skip
_IDLE_SHARE = 0.5
# An accelerator that is not known here; a processor, by each of its threads; Apple's chips.
_ANY_BOARD = (35.0, 1000.0)
_THREAD = (1.5, 8.0)
_APPLE = (10.0, 100.0)


@dataclass(frozen=True, slots=True)
class Energy:
    """`watts` and `watt_hours`, lowest and highest. `assumed` names the sentence that tells what was assumed, which
    `values` fill."""

    watts: tuple[float, float]
    watt_hours: tuple[float, float]
    assumed: str
    values: dict[str, object]


def energy(device: str, seconds: float) -> Energy:
    """`device` as a run records it: `2 × NAME` for several."""
    count, name = _counted(device)
    watts, assumed, values = _power(name)
    low, high = (count * each for each in watts)
    hours = seconds / 3600
    return Energy((low, high), (low * hours, high * hours), assumed, values)


def _counted(device: str) -> tuple[int, str]:
    found = re.fullmatch(r"(\d+) × (.+)", device)
    return (int(found[1]), found[2]) if found else (1, device)


def _power(name: str) -> tuple[tuple[float, float], str, dict[str, object]]:
    if threads := re.search(r"CPU, (\d+) threads", name):
        count = int(threads[1])
        return (count * _THREAD[0], count * _THREAD[1]), "cpu", {"threads": count}
    if name.startswith("Apple"):
        return _APPLE, "apple", {}
    for board, watts in _BOARDS.items():
        if re.search(rf"\b{board}\b", name):
            return (watts * _IDLE_SHARE, float(watts)), "board", {"watts": watts}
    return _ANY_BOARD, "unknown", {}
