"""Checks resolver.als with Alloy: its laws, what fails without a rule, and that it agrees with frozen groups.

Takes Java and Maven, which brings Alloy once. `check.py OPERATIONS PEOPLE` checks the laws in a larger scope.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
VERSION = "6.2.0"
JAR = ROOT / f"target/tools/org.alloytools.alloy.dist-{VERSION}.jar"
MODEL = (HERE / "resolver.als").read_text()
# A rule and the law that fails without it.
FAULTS = {
    "line": "OneLine",
    "rests": "RestsOnNothingVoid",
    "concurrent": "InOrderNothingIsVoid",
    "higher": "RanksBelowChangeNothing",
    "authority": "InvitationOutlivesItsBringer",
    "knows": "LowerWordsYield",
}
KINDS = {
    "create": "Create",
    "add": "Add",
    "rank": "SetRole",
    "remove": "Remove",
    "leave": "Leave",
    "give": "Give",
}


def run(model: str) -> dict[str, bool]:
    """Whether there is an instance of each command, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.als"
        file.write_text(model)
        program = ["java", "-Xss64m", "-jar", str(JAR), "exec", "-c", "*", "-s", "glucose", "-t", "none"]
        done = subprocess.run(
            [*program, "-f", "-o", str(Path(folder) / "out"), str(file)], capture_output=True, text=True
        )
    said = done.stdout + done.stderr
    found = re.findall(r"^\d+\. (?:run|check)\s+(\w+)[^A-Z]*?(UNSAT|SAT)", said, re.MULTILINE)
    if done.returncode or not found:
        sys.exit(f"Alloy failed:\n{said}")
    return {name: answer == "SAT" for name, answer in found}


def commands(model: str) -> tuple[str, list[str]]:
    """A model without its commands, and these."""
    lines = model.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("run ", "check "))), [
        line for line in lines if line.startswith(("run ", "check "))
    ]


def group(number: int, record: dict[str, Any]) -> str | None:
    """A command with an instance if the model finds what a frozen group says; None if it leaves that out."""
    ops = record["ops"]
    kinds = [op[5][0] for op in ops]
    if (
        len(ops) > 7
        or not set(kinds) <= set(KINDS)
        or any(k == "leave" and op[1] == 0 for k, op in zip(kinds, ops, strict=True))
    ):
        return None
    if any(
        kind == "add" and op[5][2] not in ("guest", "member", "moderator", "admin")
        for kind, op in zip(kinds, ops, strict=True)
    ):
        return None
    ops = sorted(ops, key=lambda op: (op[4], op[0]))
    names = {op[0]: f"o{n}" for n, op in enumerate(ops)}
    people = sorted({op[1] for op in ops} | {p for op in ops for p in targets(op[5])})
    past: dict[str, set[str]] = {}
    facts = []
    for op in ops:
        past[op[0]] = set(op[3]).union(*(past[parent] for parent in op[3]))
        name, (kind, *args) = names[op[0]], op[5]
        author = op[1]
        signer = author if kind != "add" or args[2] is None else args[2]
        if kind == "remove" and len(args[0]) != 1 or kind == "add" and args[0] == author:
            return None
        facts += [f"{name} in {KINDS[kind]}", f"{name}.author = p{author}", f"{name}.authority = p{signer}"]
        facts.append(f"{name}.past = " + (" + ".join(sorted(names[i] for i in past[op[0]])) or "none"))
        if kind in ("add", "rank"):
            facts.append(f"{name}.says = p{args[0]} -> {args[1].capitalize()}")
        elif kind in ("remove", "give"):
            who = args[0][0] if kind == "remove" else args[0]
            facts.append(f"{name}.says[p{who}] = " + ("Out" if kind == "remove" else "Owner"))
    facts += [f"{names[a[0]]} in prevs[{names[b[0]]}]" for a, b in zip(ops, ops[1:], strict=False)]
    result = record["result"]
    void = " + ".join(names[i] for i in result["void"]) or "none"
    facts += ["h.of = Op", f"h.void = {void}"]
    for person in people:
        rank = result["members"].get(str(person), ["out"])[0].capitalize()
        facts.append(f"h.is[p{person}] = {rank}")
    head = f"some h: Held, disj {', '.join(f'p{p}' for p in people)}: Person"
    body = f"{head}, disj {', '.join(names.values())}: Op | " + " and ".join(facts)
    size, many = len(ops), len(people)
    scope = f"exactly {size} Op, exactly {many} Person, {size} Past, exactly 1 Held"
    return f"pred group{number} {{ {body} }}\nrun group{number} for 0 but {scope}"


def targets(action: list[Any]) -> list[int]:
    kind, *args = action
    if kind == "remove":
        return list(args[0])
    return [args[0]] if kind in ("add", "rank", "give") else []


def main() -> None:
    if not JAR.exists():
        artifact = f"-Dartifact=org.alloytools:org.alloytools.alloy.dist:{VERSION}"
        to = f"-DoutputDirectory={JAR.parent}"
        subprocess.run(["mvn", "--quiet", "--batch-mode", "dependency:copy", artifact, to], check=True)
    rules, all_commands = commands(MODEL)
    if len(sys.argv) == 3:
        size, people = sys.argv[1:]
        scope = f" for {size} but {people} Person, {size} Past, "
        all_commands = [re.sub(r" for .* (?=\d Held)", scope, command) for command in all_commands]
    failed = False
    for name, found in run("\n".join([rules, *all_commands])).items():
        wanted = name in ("interesting", "given")
        failed |= found != wanted
        print(f"{name}: " + ("an instance" if wanted else "holds") if found == wanted else f"{name}: WRONG")
    if len(sys.argv) == 3:
        sys.exit(failed)
    for rule, law in FAULTS.items():
        without = "\n".join(line for line in rules.splitlines() if not line.endswith(f"-- [{rule}]"))
        command = next(c for c in all_commands if f"check {law} " in c)
        found = without != rules and run(f"{without}\n{command}")[law]
        failed |= not found
        print(f"without [{rule}]: {law} " + ("fails, as it must" if found else "STILL HOLDS"))
    records = json.loads((ROOT / "tests/vectors/groups.json").read_text())["groups"]
    frozen = [text for n, record in enumerate(records) if (text := group(n, record))]
    agreed = run("\n".join([rules, *frozen])) if frozen else {}
    differ = [name for name, found in agreed.items() if not found]
    failed |= bool(differ) or len(agreed) < 5
    print(f"{len(agreed)} frozen groups, {len(differ)} differ: {differ}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
