"""Writes the type stub of the generated module, from its source.

    python tools/make_stub.py donp_ffi.py > python/donp/_ffi/donp_ffi.pyi

uniffi writes no stub, and a type checker misreads what it generates: variants are made subclasses of their
sum by assignment, records have no fields it can see. What is written here is compared with the installed
module by `stubtest` in test.sh.
"""

from __future__ import annotations

import ast
import sys


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        module = ast.parse(file.read())
    public: list[str] = []
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            public = ast.literal_eval(node.value)
    out = [
        "# Written by tools/make_stub.py: do not edit.",
        "import enum",
        "import typing",
        "from typing import Any",
        "",
        f"__all__ = {public!r}",
        "",
        "MessageId = str",
        "NodeId = str",
        "AccountId = str",
        "FileId = str",
        "GroupId = str",
    ]
    done: set[str] = set()
    for node in module.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        if node.name not in public or node.name in done:
            continue
        if isinstance(node, ast.FunctionDef):
            out += ["", function(node, "")]
        else:
            done.add(node.name)
            out += ["", *top(node, module)]
    print("\n".join(out))


def top(node: ast.ClassDef, module: ast.Module) -> list[str]:
    bases = [ast.unparse(base) for base in node.bases]
    if bases == ["enum.Enum"]:
        members = [n for n in node.body if isinstance(n, ast.Assign)]
        return [f"class {node.name}(enum.Enum):", *(f"    {ast.unparse(n)}" for n in members)]
    if bases == ["Exception"]:
        # The variants are in a second class of the name.
        variants = [
            v
            for n in module.body
            if isinstance(n, ast.ClassDef) and n.name == node.name
            for v in n.body
            if isinstance(v, ast.ClassDef)
        ]
        return [f"class {node.name}(Exception):", *(variant(v, node.name) for v in variants), "    ..."]
    nested = [n for n in node.body if isinstance(n, ast.ClassDef)]
    if nested:
        checks = [function(n, "    ") for n in node.body if isinstance(n, ast.FunctionDef)]
        return [f"class {node.name}:", *checks, *(variant(v, node.name) for v in nested)]
    has_init = any(isinstance(n, ast.FunctionDef) and n.name == "__init__" for n in node.body)
    if not bases and has_init:
        # uniffi's dataclasses have no fields that `match` could see.
        return [f"class {node.name}:", "    __match_args__ = ()", *fields(node, "    ")]
    methods = [
        n
        for n in node.body
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (n.name in ("__init__", "__del__") or not n.name.startswith("_"))
    ]
    head = f"class {node.name}({', '.join(bases)}):" if bases else f"class {node.name}:"
    return [head, *(function(n, "    ") for n in methods), "    ..."]


def variant(node: ast.ClassDef, owner: str) -> str:
    lines = [f"    class {node.name}({owner}):"]
    return "\n".join([*lines, *(fields(node, "        ") or ["        ..."])])


def fields(node: ast.ClassDef, indent: str) -> list[str]:
    """The attributes that the constructor sets, and the constructor."""
    init = next(n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    types = {"reason": "str", "hint": "str", "retryable": "bool"}
    names = [*init.args.args[1:], *init.args.kwonlyargs]
    for name in names:
        if name.annotation is None:
            name.annotation = ast.Name(types[name.arg])
    attributes = [f"{indent}{a.arg}: {ast.unparse(a.annotation)}" for a in names if a.annotation]
    return [*attributes, function(init, indent), f"{indent}def __eq__(self, other: object) -> bool: ..."][
        : None if is_value(node) else -1
    ]


def is_value(node: ast.ClassDef) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == "__eq__" for n in node.body)


def function(node: ast.FunctionDef | ast.AsyncFunctionDef, indent: str) -> str:
    arguments = node.args
    for a in [*arguments.args, *arguments.kwonlyargs]:
        if a.annotation is not None:
            # A default that stands for an empty value.
            text = ast.unparse(a.annotation)
            if text.startswith("typing.Union[object, "):
                text = text.removeprefix("typing.Union[object, ").removesuffix("]")
                a.annotation = ast.parse(text, mode="eval").body
    arguments.defaults = [ast.Constant(...) for _ in arguments.defaults]
    arguments.kw_defaults = [None if d is None else ast.Constant(...) for d in arguments.kw_defaults]
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            rest.annotation = ast.Name("Any")
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = ast.unparse(node.returns) if node.returns else "None"
    marks = "".join(f"{indent}@{ast.unparse(d)}\n" for d in node.decorator_list)
    return f"{marks}{indent}{kind} {node.name}({ast.unparse(arguments)}) -> {returns}: ..."


if __name__ == "__main__":
    main()
