"""The gate between a user's expression and Python: what is not named here does not pass.

The text is parsed by Python's own parser, and every node of the tree is rebuilt by one of the methods below into a
new tree that holds only lookups in the environment, attributes of the response named in a fixed list, comparisons,
boolean operators, and calls of our own helpers and functions. The user's names never become Python names, and
`a.b` never becomes an attribute access, so there is no path from an expression to an object's internals. Nodes
without a method are refused.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, NamedTuple

from squall.expr import functions, limits
from squall.expr.errors import EvaluationError, ExpressionError, nearest
from squall.expr.registry import FUNCTIONS, Function, Kind, check_literals, note_use
from squall.expr.scope import CONSTANTS, NAMESPACES, RESPONSE_NAMES, RUN_MEMBERS, Scope
from squall.expr.source import MAX_SOURCE, Source

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GLOBALS", "Rewriter", "Typed", "functions"]

_HELPERS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: limits.add,
    ast.Sub: limits.sub,
    ast.Mult: limits.mul,
    ast.Div: limits.div,
    ast.FloorDiv: limits.floordiv,
    ast.Mod: limits.mod,
    ast.Pow: limits.power,
    ast.LShift: limits.shift_left,
    ast.RShift: limits.shift_right,
    ast.BitAnd: limits.bit_and,
    ast.BitOr: limits.bit_or,
    ast.BitXor: limits.bit_xor,
}
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
_INT_NAMES = frozenset({"vu", "iter", "shard", "status"})
_REFUSED = {
    "Lambda": "functions cannot be defined here",
    "ListComp": "comprehensions are not allowed",
    "SetComp": "comprehensions are not allowed",
    "DictComp": "comprehensions are not allowed",
    "GeneratorExp": "comprehensions are not allowed",
    "NamedExpr": "':=' is not allowed; use a `set` step",
    "Starred": "'*' before a value is not allowed",
    "JoinedStr": 'f"..." is not allowed; join texts with +',
    "Set": "write a list: [...]",
}

GLOBALS: dict[str, Any] = {"__builtins__": {}, "Exception": Exception}
"""What compiled expressions can name: helpers and functions, and nothing of Python's own."""
GLOBALS.update({helper.__name__: helper for helper in _HELPERS.values()})
GLOBALS.update({
    helper.__name__: helper
    for helper in (limits.member, limits.item, limits.slice_of, limits.bounded_value, limits.to_text)
})  # fmt: skip
GLOBALS.update({"f_" + name.replace(".", "_"): known.call for name, known in FUNCTIONS.items()})


class Typed(NamedTuple):
    """A rebuilt node, what is known of its value, and whether it is the same at every evaluation."""

    node: ast.expr
    kind: Kind
    constant: bool


class Rewriter:
    """Rebuilds one parsed expression; collects the names it uses.

    Attributes:
        names: Root names used.
        paths: What is used of `var`, `data` and `run`, such as `var.baseUrl` and `data.users.email`.
    """

    def __init__(self, scope: Scope, source: Source) -> None:
        self._scope = scope
        self._source = source
        self._shift = len(source.text) - len(source.text.lstrip())
        self._encoded = source.text.strip().encode("utf-8", "surrogatepass")
        self.names: set[str] = set()
        self.paths: set[str] = set()

    def visit(self, node: ast.expr) -> Typed:
        """The safe node that stands for `node`.

        Raises:
            ExpressionError: When it is not allowed, or names something unknown.
        """
        name = type(node).__name__
        method: Callable[[Any], Typed] | None = getattr(self, f"_visit_{name.lower()}", None)
        if method is None:
            raise self._error(node, _REFUSED.get(name, f"{name} is not allowed in an expression"))
        return method(node)

    def _error(self, node: ast.expr, message: str, hint: str = "") -> ExpressionError:
        # ast counts in bytes of UTF-8.
        characters = len(self._encoded[: node.col_offset].decode("utf-8", "replace"))
        return ExpressionError(message, self._source.original(characters + self._shift), hint)

    def _folded(self, node: ast.expr, parts: list[Typed], origin: ast.expr, kind: Kind = "any") -> Typed:
        """`node`, computed now if nothing in it changes from one evaluation to the next."""
        if not all(part.constant for part in parts):
            return Typed(node, kind, constant=False)
        tree = ast.fix_missing_locations(ast.Expression(node))
        try:
            value = eval(compile(tree, "<expression>", "eval"), GLOBALS)  # noqa: S307 - the tree is of our own making
        except EvaluationError as error:
            raise self._error(origin, error.message, error.hint) from None
        except Exception as error:  # noqa: BLE001 - whatever a constant cannot do is the user's to know
            raise self._error(origin, f"cannot be computed: {error}") from None
        if isinstance(value, str) and len(value) > MAX_SOURCE:
            # Left to run time, and so is all that uses it: reading a manifest must stay cheap.
            return Typed(node, kind, constant=False)
        return _constant(value) if _is_scalar(value) else Typed(node, kind, constant=True)

    def _visit_constant(self, node: ast.Constant) -> Typed:
        if not _is_scalar(node.value):
            raise self._error(node, f"a literal {type(node.value).__name__} is not allowed")
        if isinstance(node.value, int) and node.value.bit_length() > limits.MAX_BITS:
            raise self._error(node, "the number is too large")
        return _constant(node.value)

    def _visit_name(self, node: ast.Name) -> Typed:
        name = node.id
        if name in CONSTANTS:
            return _constant(CONSTANTS[name])
        if name in ("var", "data"):
            raise self._error(node, f"{name!r} is no value by itself", f"write {name}.<name>")
        if self._scope.response and name in RESPONSE_NAMES:
            self.names.add(name)
            read = _of_response(name)
        else:
            self._root(node, name)
            read = _lookup(ast.Name("env", ast.Load()), name)
        return Typed(read, "int" if name in _INT_NAMES else "any", constant=False)

    def _root(self, node: ast.expr, name: str) -> None:
        """Note the use of a root name of the environment, if there is such a name here."""
        if name in self._scope.names:
            self.names.add(name)
            return
        if name in RESPONSE_NAMES:
            raise self._error(
                node, f"{name!r} is a part of a response", "only checks, extract, until and failWhen have one"
            )
        if name in FUNCTIONS or name in NAMESPACES:
            usage = FUNCTIONS[name].usage if name in FUNCTIONS else f"{name}.<function>()"
            raise self._error(node, f"{name!r} is a function", f"call it: {usage}")
        raise self._error(node, f"there is no {name!r} here", nearest(name, self._scope.visible()))

    def _visit_attribute(self, node: ast.Attribute) -> Typed:
        if node.attr.startswith("__"):
            raise self._error(node, f"{node.attr!r}: names that begin with two underscores are not allowed")
        return self._access(node, node.value, node.attr)

    def _visit_subscript(self, node: ast.Subscript) -> Typed:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return self._access(node, node.value, node.slice.value)
        container = self.visit(node.value)
        path = ast.Constant(_shortened(node))
        if isinstance(node.slice, ast.Slice):
            edges = [node.slice.lower, node.slice.upper, node.slice.step]
            parts = [_constant(None) if edge is None else self.visit(edge) for edge in edges]
            call = _call("slice_of", container.node, *(part.node for part in parts), path)
            return self._folded(call, [container, *parts], node)
        key = self.visit(node.slice)
        return self._folded(_call("item", container.node, key.node, path), [container, key], node)

    def _access(self, node: ast.expr, value: ast.expr, key: str) -> Typed:
        """`value.key` or `value["key"]`, which mean the same."""
        owner = value.id if isinstance(value, ast.Name) else ""
        if owner in ("var", "run", "data"):
            self._root(value, owner)
            self._check_member(node, owner, key)
            self.paths.add(f"{owner}.{key}")
            return Typed(_lookup(_lookup(ast.Name("env", ast.Load()), owner), key), "any", constant=False)
        if owner in NAMESPACES:
            raise self._error(node, f"'{owner}.{key}' is a function", f"call it: {owner}.{key}()")
        if isinstance(value, (ast.Attribute, ast.Subscript)) and _names_data(value):
            return self._column(node, value, key)
        container = self.visit(value)
        path = _path_of(value)
        known = self._scope.members.get(path)
        if known is not None and key not in known:
            raise self._error(node, f"{path!r} has no {key!r}", nearest(key, known))
        call = _call("member", container.node, ast.Constant(key), ast.Constant(_shortened(node)))
        return self._folded(call, [container], node)

    def _check_member(self, node: ast.expr, owner: str, key: str) -> None:
        scope = self._scope
        if owner == "run" and key not in RUN_MEMBERS:
            raise self._error(node, f"'run' has no {key!r}", nearest(key, RUN_MEMBERS))
        if owner == "data" and scope.data is not None and key not in scope.data:
            raise self._error(node, f"there is no data named {key!r}", nearest(key, scope.data))
        if owner != "var":
            return
        if scope.variables is not None and key not in scope.variables:
            raise self._error(node, f"there is no variable {key!r}", nearest(key, scope.variables))
        if key in scope.secrets and not scope.allow_secrets:
            raise self._error(node, f"'var.{key}' is a secret", "secrets may be used only inside requests")

    def _column(self, node: ast.expr, feeder: ast.Attribute | ast.Subscript, column: str) -> Typed:
        row = self.visit(feeder)
        name = _key_of(feeder)
        known = (self._scope.data or {}).get(name)
        if known is not None and column not in known:
            raise self._error(node, f"the data {name!r} has no column {column!r}", nearest(column, known))
        self.paths.add(f"data.{name}.{column}")
        return Typed(_lookup(row.node, column), "any", constant=False)

    def _visit_call(self, node: ast.Call) -> Typed:
        known = self._function(node.func)
        positional = [self.visit(argument) for argument in node.args]
        named: dict[str, Typed] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._error(keyword.value, "'**' before a value is not allowed")
            named[keyword.arg] = self.visit(keyword.value)
        self._check_arguments(node, known, positional, named)
        note_use(known)
        call = _call("f_" + known.name.replace(".", "_"), *(part.node for part in positional))
        call.keywords = [ast.keyword(name, part.node) for name, part in named.items()]
        if known.context:
            self.names.add(known.context)
            call.args.insert(0, _lookup(ast.Name("env", ast.Load()), known.context))
        if not known.fold:
            return Typed(call, known.kind, constant=False)
        return self._folded(call, [*positional, *named.values()], node, known.kind)

    def _function(self, func: ast.expr) -> Function:
        if (
            isinstance(func, ast.Attribute)
            and isinstance(func.value, ast.Name)
            and func.value.id in NAMESPACES
        ):
            name = f"{func.value.id}.{func.attr}"
        elif isinstance(func, ast.Name):
            name = func.id
        elif isinstance(func, ast.Attribute) and func.attr in FUNCTIONS:
            raise self._error(func, "values have no methods", f"write {FUNCTIONS[func.attr].usage}")
        else:
            raise self._error(func, "only functions can be called, by their name")
        if name not in FUNCTIONS:
            raise self._error(func, f"there is no function {name!r}", nearest(name, FUNCTIONS))
        return FUNCTIONS[name]

    def _check_arguments(
        self, node: ast.Call, known: Function, positional: list[Typed], named: dict[str, Typed]
    ) -> None:
        try:
            bound = known.bind(positional, named)
        except TypeError as error:
            raise self._error(node, f"{known.name}: {error}", f"usage: {known.usage}") from None
        literals = {}
        for name in known.literal:
            part = bound[name]
            if not isinstance(part.node, ast.Constant):
                raise self._error(node, f"{known.name}: {name!r} must be written as a constant")
            literals[name] = part.node.value
        try:
            check_literals(known, literals)
        except ExpressionError as error:
            raise self._error(node, error.message, error.hint) from None

    def _visit_binop(self, node: ast.BinOp) -> Typed:
        helper = _HELPERS.get(type(node.op))
        if helper is None:
            raise self._error(node, "this operator is not allowed")
        left, right = self.visit(node.left), self.visit(node.right)
        return self._folded(_call(helper.__name__, left.node, right.node), [left, right], node)

    def _visit_unaryop(self, node: ast.UnaryOp) -> Typed:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Invert):
            raise self._error(node, "'~' is not allowed")
        return self._folded(ast.UnaryOp(node.op, operand.node), [operand], node)

    def _visit_boolop(self, node: ast.BoolOp) -> Typed:
        parts = [self.visit(value) for value in node.values]
        return self._folded(ast.BoolOp(node.op, [part.node for part in parts]), parts, node)

    def _visit_compare(self, node: ast.Compare) -> Typed:
        for operator in node.ops:
            if not isinstance(operator, _COMPARISONS):
                raise self._error(node, "'is' is not allowed", "'==' compares, also with null")
        parts = [self.visit(part) for part in (node.left, *node.comparators)]
        first, *others = (part.node for part in parts)
        return self._folded(ast.Compare(first, node.ops, others), parts, node)

    def _visit_ifexp(self, node: ast.IfExp) -> Typed:
        parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
        return self._folded(ast.IfExp(*(part.node for part in parts)), parts, node)

    def _visit_list(self, node: ast.List) -> Typed:
        parts = [self.visit(element) for element in node.elts]
        return self._display(ast.List([part.node for part in parts], ast.Load()), parts, node)

    def _visit_tuple(self, node: ast.Tuple) -> Typed:
        parts = [self.visit(element) for element in node.elts]
        return self._display(ast.Tuple([part.node for part in parts], ast.Load()), parts, node)

    def _visit_dict(self, node: ast.Dict) -> Typed:
        keys = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self._error(value, "'**' before a value is not allowed")
            keys.append(self.visit(key))
        values = [self.visit(value) for value in node.values]
        display = ast.Dict([part.node for part in keys], [part.node for part in values])
        return self._display(display, [*keys, *values], node)

    def _display(self, display: ast.expr, parts: list[Typed], origin: ast.expr) -> Typed:
        bounded = _call("bounded_value", display)
        if not all(part.constant for part in parts):
            return Typed(bounded, "any", constant=False)
        # The bound is checked now; Python compiles the bare display to a constant (`status in [200, 201]`).
        self._folded(bounded, parts, origin)
        return Typed(display, "any", constant=True)


def _is_scalar(value: object) -> bool:
    return value is None or type(value) in (str, int, float, bool)


def _constant(value: Any) -> Typed:
    kind: Kind = "str" if type(value) is str else "int" if type(value) is int else "any"
    return Typed(ast.Constant(value), kind, constant=True)


def _lookup(container: ast.expr, key: str) -> ast.expr:
    return ast.Subscript(container, ast.Constant(key), ast.Load())


def _of_response(name: str) -> ast.expr:
    """The only attributes that are ever read: those of ResponseView."""
    read = ast.Attribute(ast.Name("response", ast.Load()), "json" if name == "body" else name, ast.Load())
    return ast.Call(read, [], []) if name == "body" else read


def _call(helper: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(helper, ast.Load()), list(arguments), [])


def _shortened(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 80 else text[:77] + "..."


def _key_of(node: ast.Attribute | ast.Subscript) -> str:
    """The constant key of an access; empty when it is computed."""
    if isinstance(node, ast.Attribute):
        return node.attr
    key = node.slice.value if isinstance(node.slice, ast.Constant) else ""
    return key if isinstance(key, str) else ""


def _path_of(node: ast.expr) -> str:
    """`a` or `a.b`, as `Scope.members` calls it; empty for what is neither."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _names_data(node: ast.Attribute | ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "data" and bool(_key_of(node))
