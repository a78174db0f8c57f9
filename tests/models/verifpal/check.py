"""Runs Verifpal on the models of this folder, as they are and with a part left out."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

# A model, what of it is replaced, and its queries that an attacker breaks then.
RUNS: list[tuple[str, str, list[tuple[str, str]], set[str]]] = [
    ("handshake", "as it is", [], set()),
    (
        "handshake",
        "without the node ids in the transcript",
        [
            ("HASH(name, gbid, gbs, gae)", "HASH(name, gbs, gae)"),
            (", pid, gbe)", ", gbe)"),
            (", gaid, gbe)", ", gbe)"),
        ],
        {"equivalence? to, own"},
    ),
    ("upgrade", "as it is", [], {"confidentiality? before"}),
    (
        "upgrade",
        "without the secret in the next handshake",
        [("HASH(bck2, bpsk)", "HASH(bck2, name)"), ("HASH(ack2, apsk)", "HASH(ack2, name)")],
        {"confidentiality? before", "confidentiality? after"},
    ),
    ("first", "as it is", [], set()),
    (
        "first",
        "without the key encapsulation",
        [("DH_KEX(gbs, ae), ss)", "DH_KEX(gbs, ae))"), ("DH_KEX(gae, bs), bss)", "DH_KEX(gae, bs))")],
        {"confidentiality? m1"},
    ),
    ("epochs", "as it is", [], {"confidentiality? m2", "confidentiality? m3"}),
    (
        "epochs",
        "without the next epoch in the key",
        [("HKDF(bpq1, MAC(bck4", "HKDF(bpq0, MAC(bck4"), ("HKDF(apq1, MAC(ack4", "HKDF(apq0, MAC(ack4")],
        {"confidentiality? m2", "confidentiality? m3", "confidentiality? m4"},
    ),
]


def broken(text: str) -> tuple[set[str], set[str]]:
    """The queries that hold, all of them searched to the end, and those with an attack."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.vp"
        file.write_text(text)
        done = subprocess.run(
            ["verifpal", "verify", "--color", "never", str(file)], capture_output=True, text=True
        )
    said = done.stdout + done.stderr
    holds = set(re.findall(r"^ +PASS \+ (\w+\? .+?)  \[search exhausted", said, re.MULTILINE))
    attacked = set(re.findall(r"^ +FAIL x (\w+\? .+?)(?: \(Analysis \d+\))?$", said, re.MULTILINE))
    if done.returncode or not holds | attacked:
        sys.exit(f"Verifpal failed:\n{said}")
    return holds, attacked


def main() -> None:
    if not shutil.which("verifpal"):
        print(
            "SKIPPED: tests/models/verifpal, since verifpal is not installed "
            "(cargo install verifpal --ignore-rust-version)"
        )
        return
    failed = False
    for name, what, changes, attacks in RUNS:
        text = (HERE / f"{name}.vp").read_text()
        wanted = {line.strip() for line in text[text.index("queries[") :].splitlines()[1:] if "?" in line}
        for old, new in changes:
            if old not in text:
                sys.exit(f"{name}.vp has no {old}")
            text = text.replace(old, new)
        holds, attacked = broken(text)
        right = attacked == attacks and holds == wanted - attacks
        failed |= not right
        verdict = f"{len(holds)} hold, broken: {', '.join(sorted(attacked)) or 'none'}"
        print(f"{name}, {what}: {verdict}" + ("" if right else f"; WANTED broken: {sorted(attacks)}"))
    sys.exit(failed)


if __name__ == "__main__":
    main()
