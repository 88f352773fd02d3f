"""Text to syntax tree: the only importer of lark. Hands an `ast.Program` to check.py.

Lark's parser is built once from d.lark and kept as a file beside this module's byte code. A postlex pass
tells names of types from other names (C's typedef problem) and marks the words that D reserves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NoReturn

import lark
from lark.lexer import Token

from dlang import ast
from dlang.actions import ACTIONS, SUBROUTINES
from dlang.builtins import CONSTANTS, VARIABLES
from dlang.diagnostics import CompileError, Diagnostic, fail
from dlang.escape_sequences import unescape
from dlang.names import WORD
from dlang.source import Source, Span
from dlang.types import TYPEDEFS

_RESERVED: Final = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "counter",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "import",
        "inline",
        "int",
        "long",
        "offsetof",
        "probe",
        "provider",
        "register",
        "restrict",
        "self",
        "short",
        "signed",
        "sizeof",
        "static",
        "string",
        "stringof",
        "struct",
        "switch",
        "this",
        "translator",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
        "xlate",
    ]
)
_GRAMMAR: Final = Path(__file__).with_name("d.lark")
_NOT_YET: Final = {
    "translator": "translators are not supported by this version of dtrap",
    "provider": "provider definitions are not supported by this version of dtrap",
    "xlate": "translators are not supported by this version of dtrap",
    "for": "D has no loops",
    "while": "D has no loops",
    "do": "D has no loops",
}


_MOST_OPERAND_DIGITS: Final = 9
_KEYWORDS: Final = {
    **dict.fromkeys(
        ["_Bool", "char", "double", "float", "int", "long", "short", "signed", "unsigned", "void"],
        "TYPE_WORD",
    ),
    "string": "STRING_TYPE",
}
"""Words that an operand may be and that the grammar has tokens for."""


MOST_NESTED: Final = 200
"""Levels that a program's tree may have: the passes after this one descend into it, a few frames for each level."""


class _Names:
    """Lark's postlex pass: puts operands that are words in place of their macros, retags names of types and reserved
    words, and slashes that can't end a predicate; drops qualifiers.

    Names that a `typedef` of this program introduces count from the end of their declaration on. `operands` are those
    of the text that is parsed, with the program's name as number 0; `used` the numbers of those that were put in.
    """

    always_accept = ("IDENTIFIER", "QUALIFIER")

    def __init__(self) -> None:
        self.operands: Sequence[str] = ()
        self.used: set[int] = set()

    def _word(self, macro: Token, previous: Token | None) -> Token:
        """Return the operand that a macro such as `$1` stands for, if it is a word of D, else the macro."""
        digits = macro[1:]
        if not digits.isdecimal() or len(digits) > _MOST_OPERAND_DIGITS or int(digits) >= len(self.operands):
            return macro
        operand = self.operands[int(digits)]
        if not WORD.match(operand):
            return macro
        self.used.add(int(digits))
        if previous is not None and previous.type == "ARROW":
            return Token.new_borrow_pos("MEMBER", operand, macro)
        return Token.new_borrow_pos(_KEYWORDS.get(operand, "IDENTIFIER"), operand, macro)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        types = set(TYPEDEFS)
        in_typedef = named = False
        depth = parentheses = 0
        previous: Token | None = None
        for token in stream:
            if token.type == "QUALIFIER":
                continue
            if token.type == "MACRO":
                token = self._word(token, previous)
            if token.type in ("IDENTIFIER", "PROBE"):
                if str(token) in types:
                    token.type = "TYPE_NAME"
                elif str(token) in _RESERVED:
                    token.type = "RESERVED"
            elif token.type == "PREDICATE_END" and depth > 0:
                # A division with a comment behind it.
                token.type = "SLASH"
            elif token.type == "TYPEDEF":
                in_typedef, named = True, False
            depth += {"{": 1, "}": -1}.get(str(token), 0)
            declared = token.type in ("SEMICOLON", "COMMA", "LSQB", "RPAR") and depth == 0 and not named
            if in_typedef and declared and previous is not None and previous.type == "IDENTIFIER":
                types.add(str(previous))
                named = True
            parentheses += {"(": 1, ")": -1}.get(str(token), 0)
            named = named and not (token.type == "COMMA" and depth == parentheses == 0)
            in_typedef = in_typedef and not (token.type == "SEMICOLON" and depth == 0)
            previous = token
            yield token


def parse(source: Source, operands: Sequence[str] = ()) -> ast.Program:
    """Return the syntax tree of a program; `operands` are what `$0`, `$1` and so on stand for.

    A script's clauses need bodies; a command-line program (`source.name is None`) may end in a bare
    description. Raises CompileError (D_SYNTAX and the lexical tags).
    """
    text = _without_control_lines(source.text)
    _check_lexical(text)
    start = "one_liner" if source.name is None else "script"
    try:
        parser, names = _parser()
        names.operands, names.used = operands, set()
        tree = parser.parse(text, start=start)
    except lark.UnexpectedInput as error:
        raise _syntax_error(error, text, in_script=source.name is not None) from None
    _check_depth(tree)
    try:
        return ast.Program(_Builder().transform(tree).items, frozenset(names.used))
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, CompileError):
            raise error.orig_exc from None
        raise


def _check_depth(tree: lark.Tree[Token]) -> None:
    level = [tree]
    for _ in range(MOST_NESTED):
        level = [child for node in level for child in node.children if isinstance(child, lark.Tree)]
        if not level:
            return
    span = next((_span(node.meta) for node in level if not node.meta.empty), Span(0, 0))
    hint = f"use variables in between: {MOST_NESTED} levels are the limit"
    fail("D_SYNTAX", span, "statements and expressions are nested too deeply", hint)


@cache
def _parser() -> tuple[lark.Lark, _Names]:
    """Return the parser, from its cache file where that belongs to this grammar and this lark, and its postlex pass.

    The file lies in `__pycache__`, with the byte code: who may write there can change this program anyway, so
    unpickling it gives nobody new rights. Where it can't be written the parser is built each time.
    """
    grammar = _GRAMMAR.read_text()
    stamp = hashlib.sha256(f"{lark.__version__} {grammar}".encode()).hexdigest()[:16]
    cache = _GRAMMAR.parent / "__pycache__" / f"d.lark.{stamp}"
    names = _Names()
    try:
        with cache.open("rb") as file:
            # Lark's loader takes the same options as its constructor; its stubs leave them out.
            return lark.Lark.__new__(lark.Lark)._load(file, postlex=names), names
    except OSError:
        pass
    parser = lark.Lark(
        grammar,
        parser="lalr",
        start=["script", "one_liner"],
        propagate_positions=True,
        maybe_placeholders=True,
        postlex=names,
    )
    temporary = cache.with_suffix(f".{id(parser)}")
    try:
        cache.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            parser.save(file)
        temporary.replace(cache)
    except OSError:
        pass
    return parser, names


# --- before the grammar -------------------------------------------------------------------------------------

# Each alternative also takes what never ends, up to the end: no place is looked at twice.
_SKIP: Final = re.compile(
    r'"(?:[^"\\\n]|\\.)*+"?'
    r"|'(?:[^'\\\n]|\\.)*+'?"
    r"|/\*.*?(?:\*/|\Z)|//[^\n]*|(?m:^)[ \t]*+(?P<control>#[^\n]*)",
    re.S,
)


def control_lines(text: str) -> list[tuple[Span, str]]:
    """Return the lines that start with `#` outside comments and strings, each with its place."""
    return [
        (Span(match.start(), match.end()), match["control"].strip())
        for match in _SKIP.finditer(text)
        if match["control"] is not None
    ]


def _without_control_lines(text: str) -> str:
    """Return the text with blanks for each of them."""
    return _SKIP.sub(lambda match: match[0] if match["control"] is None else " " * len(match[0]), text)


_LEXEME: Final = re.compile(
    r'"(?P<string>(?:[^"\\\n]|\\(?:.|\n))*)(?P<string_end>["\n]|\Z)'
    r"|'(?P<char>(?:[^'\\\n]|\\(?:.|\n))*)(?P<char_end>['\n]|\Z)"
    r"|/\*(?P<comment>.*?)(?P<comment_end>\*/|\Z)|//[^\n]*",
    re.S,
)


def _check_lexical(text: str) -> None:
    """Raise for strings, character constants and comments that do not end: messages that a parser can't give."""
    for match in _LEXEME.finditer(text):
        span = Span(match.start(), match.end())
        if match["string"] is not None and match["string_end"] != '"':
            if match["string_end"] == "\n":
                _fail_behind("D_STR_NL", span, "newline encountered in string literal")
            fail("D_SYNTAX", span, 'syntax error near """', "the string does not end")
        if match["char"] is not None:
            if match["char_end"] == "\n":
                _fail_behind("D_CHR_NL", span, "newline encountered in character constant")
            if match["char_end"] != "'":
                fail("D_SYNTAX", span, 'syntax error near "\'"', "the character constant does not end")
            if match["char"] == "":
                fail("D_CHR_NULL", span, "empty character constant")
            if len(unescape(match["char"])) > 8:
                fail("D_CHR_OFLOW", span, "character constant is too long")
        if match["comment"] is not None:
            if match["comment_end"] != "*/":
                message = "end-of-file encountered before matching */"
                raise CompileError(
                    Diagnostic("D_SYNTAX", span, message, lines_on=match["comment"].count("\n"))
                )
            if "/*" in match["comment"]:
                fail("D_SYNTAX", span, "/* encountered inside a comment")


def _fail_behind(tag: str, span: Span, message: str) -> NoReturn:
    """Raise for a line that ends too early: DTrace has read its end."""
    raise CompileError(Diagnostic(tag, span, message, lines_on=1))


def _syntax_error(error: lark.UnexpectedInput, text: str, *, in_script: bool) -> CompileError:
    """Return what DTrace says of a text that the grammar does not take, and what is probably wrong with it."""
    if isinstance(error, lark.UnexpectedCharacters):
        at: int = error.pos_in_stream  # type: ignore[assignment]  # None only in the class, for lark's stubs
        if text[at] == "\0":
            return _syntax(Span(at, at + 1), "syntax error near end-of-input")
        return _near(text, Span(at, at + 1), inside=True)
    if isinstance(error, lark.UnexpectedToken) and error.token.type != "$END":
        return (
            _bodiless(error, text, in_script=in_script)
            or _declared_badly(error, text)
            or _unexpected(error.token, text)
        )
    accepts = set(getattr(error, "accepts", None) or getattr(error, "expected", None) or ())
    end = Span(len(text.rstrip()), len(text.rstrip()))
    if accepts >= {"LBRACE", "SLASH"} and "RBRACE" not in accepts:
        return _syntax(end, "expected predicate and/or actions following probe description")
    if accepts == {"LBRACE"} and text.rstrip().endswith("/"):
        return _syntax(end, "expected actions { } following probe description and predicate")
    opened = _open_brackets(text)
    hint = f"a {_CLOSING[opened[-1]]} is missing" if opened else ""
    return _syntax(Span(len(text), len(text)), "syntax error near end of input", hint)


def _bodiless(error: lark.UnexpectedToken, text: str, *, in_script: bool) -> CompileError | None:
    """Return what DTrace says of a clause that goes on with neither a predicate nor actions."""
    start = len(text[: error.token.start_pos or 0].rstrip())
    accepts = set(error.accepts or error.expected or ())
    if in_script and accepts >= {"LBRACE", "SLASH"}:
        message = "expected predicate and/or actions following probe description"
    elif accepts == {"LBRACE"} and text[:start].endswith("/"):
        message = "expected actions { } following probe description and predicate"
    else:
        return None
    return _syntax(Span(max(start - 1, 0), start), message)


_STORAGES: Final = frozenset(["auto", "extern", "register", "self", "static", "this", "typedef"])
_TYPE_WORDS: Final = frozenset(
    [
        "char",
        "double",
        "enum",
        "float",
        "int",
        "long",
        "short",
        "signed",
        "string",
        "struct",
        "union",
        "unsigned",
        "void",
    ]
)


def _declared_badly(error: lark.UnexpectedToken, text: str) -> CompileError | None:
    """Return what DTrace says of words that are each D but make no declaration together."""
    token = error.token
    start = token.start_pos or 0
    span = Span(start, token.end_pos or start)
    opened = _open_brackets(text[:start])
    before = re.findall(r"[A-Za-z_][A-Za-z_0-9]*(?=\s*\Z)", text[:start])
    if token in _STORAGES and before and before[0] in _STORAGES:
        return CompileError(
            Diagnostic("D_DECL_CLASS", span, "only one storage class allowed in a declaration")
        )
    if token in _STORAGES and opened[-1:] in (["("], ["["]) and "{" not in opened:
        words = "inappropriate storage class for function or associative array parameter"
        return CompileError(Diagnostic("D_DECL_PARMCLASS", span, words))
    accepts = set(error.accepts or error.expected or ())
    follows_type = accepts >= {"STAR", "SEMICOLON"} and "INTEGER" not in accepts
    if not follows_type or (token not in _TYPE_WORDS and token.type != "TYPE_NAME"):
        return None
    tag, words = "D_DECL_COMBO", "invalid type combination"
    if before and before[0] in ("long", "short"):
        tag = "D_DECL_LONGINT"
        words = "invalid type declaration: long and long long may only be used with integer or floating-point type"
    elif before and before[0] in ("signed", "unsigned"):
        tag = "D_DECL_SIGNINT"
        words = "invalid type declaration: signed and unsigned may only be used with integer type"
    return CompileError(Diagnostic(tag, span, words))


def _syntax(span: Span, message: str, hint: str = "") -> CompileError:
    return CompileError(Diagnostic("D_SYNTAX", span, message, hint))


_CLOSING: Final = {"{": "}", "(": ")", "[": "]"}


def _unexpected(token: Token, text: str) -> CompileError:
    start = token.start_pos or 0
    before = text[:start]
    span = Span(start, token.end_pos or start)
    opened = _open_brackets(before)
    if token in (")", "]") and all(_CLOSING[bracket] != token for bracket in opened):
        return _syntax(span, f"extra {token} in input stream")
    if token == "/" and opened and "{" not in opened:
        message = f"closing {_CLOSING[opened[-1]]} expected in predicate before /"
        return CompileError(Diagnostic("D_SYNTAX", span, message, lines_on=_newlines_behind(text, span.end)))
    if token in ("auto", "register", "static") and "{" not in opened:
        words = "specified storage class not appropriate in D"
        return CompileError(Diagnostic("D_DECL_BADCLASS", span, words))
    hint = _NOT_YET.get(str(token), "")
    if not before.strip():
        hint = hint or "a program is made of clauses: probe-description /predicate/ { actions }"
    if token.type == "PREDICATE_END":
        words = 'syntax error near "/"'
        return CompileError(
            Diagnostic("D_SYNTAX", span, words, hint, lines_on=_newlines_behind(text, span.end))
        )
    inside = "{" in opened or (token.type != "PROBE" and before.strip() != "")
    return _near(text, span, inside=inside, is_type=token.type == "TYPE_NAME", hint=hint)


def _near(text: str, span: Span, *, inside: bool, is_type: bool = False, hint: str = "") -> CompileError:
    """Return the error for a word of D that can't stand at a place.

    DTrace shows the word. Of a name that it does not know, or that is a type's, it shows the rest of the line as well:
    to find out what the name may be it reads on, and forgets where the name ended.
    """
    span = _lexeme(text, span, inside=inside)
    shown = text[span.start : span.end].splitlines()[0]
    if is_type or (inside and _IDENTIFIER.fullmatch(shown) and not _is_known(shown, text[: span.start])):
        shown = text[span.start :].splitlines()[0]
    return _syntax(span, f'syntax error near "{shown}"', hint)


_IDENTIFIER: Final = re.compile(r"[A-Za-z_`][A-Za-z_0-9`]*")
_NAME: Final = re.compile(r"(?<![-.>@$\w`\"])[A-Za-z_]\w*(?![\w:`])")


def _is_known(name: str, before: str) -> bool:
    """Say whether DTrace knows a name: its own, or one that the program has used in what comes before the clause."""
    if name in _RESERVED or name in VARIABLES or name in CONSTANTS or name in ACTIONS or name in SUBROUTINES:
        return True
    clause = _SKIP.sub(lambda match: " " * len(match[0]), before)
    opened = clause.rfind("{") if _open_brackets(before)[:1] == ["{"] else len(clause)
    while opened > 0 and _open_brackets(before[:opened]):
        opened = clause.rfind("{", 0, opened)
    return name in _NAME.findall(clause[: max(opened, 0)])


def _newlines_behind(text: str, end: int) -> int:
    """Return how many lines further the next word is."""
    rest = text[end:]
    return rest[: len(rest) - len(rest.lstrip())].count("\n")


_OPERATORS: Final = re.compile(r"<<=|>>=|[-+*/%&|^!<>=]=|\+\+|--|<<|>>|&&|\|\||\^\^|->|[-+*/%&|^!<>=~?:.]")
_WORD: Final = re.compile(
    r"(?:0[xX][0-9A-Fa-f]+|[0-9]+)[uU]?[lL]?[lL]?|[@$]?[A-Za-z_`][A-Za-z_0-9`]*|\$\$?\w+"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*|.",
    re.S,
)


def _lexeme(text: str, span: Span, *, inside: bool) -> Span:
    """Return the word of D at a place: operators as long as they get; outside of clauses a probe's field may stand."""
    start = span.start
    while start and _OPERATORS.fullmatch(text[start - 1]):
        start -= 1
    for match in _OPERATORS.finditer(text, start):
        if match.start() > span.start:
            break
        if match.end() > span.start:
            return Span(match.start(), match.end())
    word = _WORD.match(text, span.start) if inside else None
    return Span(span.start, word.end()) if word else span


def _open_brackets(text: str) -> list[str]:
    """Return the brackets that the text opens and does not close, outermost first."""
    opened: list[str] = []
    for character in _SKIP.sub("", text):
        if character in _CLOSING:
            opened.append(character)
        elif opened and character == _CLOSING[opened[-1]]:
            opened.pop()
    return opened


# --- tree to nodes ------------------------------------------------------------------------------------------


def _span(meta: lark.tree.Meta) -> Span:
    return Span(getattr(meta, "start_pos", 0), getattr(meta, "end_pos", 0))


def _token_span(token: Token) -> Span:
    return Span(token.start_pos or 0, token.end_pos or 0)


@lark.v_args(inline=True, meta=True)
class _Builder(lark.Transformer[Token, ast.Program]):
    """One method a rule of d.lark, named after it."""

    def script(
        self, meta: lark.tree.Meta, *items: ast.Clause | ast.Declaration | ast.Inline | None
    ) -> ast.Program:
        return ast.Program(tuple(item for item in items if item is not None), frozenset())

    one_liner = script

    def clause(self, meta: lark.tree.Meta, *parts: object) -> ast.Clause:
        descriptions, *predicate, body = parts
        return ast.Clause(_span(meta), descriptions, predicate[0] if predicate else None, body)  # type: ignore[arg-type]

    def bare_clause(self, meta: lark.tree.Meta, descriptions: tuple[ast.Description, ...]) -> ast.Clause:
        return ast.Clause(_span(meta), descriptions, None, None)

    def descriptions(self, meta: lark.tree.Meta, *items: ast.Description) -> tuple[ast.Description, ...]:
        return items

    def description(self, meta: lark.tree.Meta, token: Token) -> ast.Description:
        return ast.Description(_token_span(token), str(token))

    def predicate(self, meta: lark.tree.Meta, expression: ast.Expression, end: Token) -> ast.Expression:
        return expression

    def body(self, meta: lark.tree.Meta, *statements: object) -> tuple[ast.Statement, ...]:
        return _flatten(statements)

    block = body
    branch = body

    def expression_statement(
        self, meta: lark.tree.Meta, expression: ast.Expression
    ) -> ast.ExpressionStatement:
        return ast.ExpressionStatement(expression.span, expression)

    last_statement = expression_statement

    def if_statement(
        self,
        meta: lark.tree.Meta,
        condition: ast.Expression,
        then: tuple[ast.Statement, ...],
        otherwise: tuple[ast.Statement, ...] | None,
    ) -> ast.If:
        return ast.If(_span(meta), condition, then, otherwise or ())

    # declarations

    def declaration(
        self,
        meta: lark.tree.Meta,
        storage: str,
        type_: ast.TypeSpecifier,
        declarators: tuple[ast.Declarator, ...] | None,
    ) -> ast.Declaration:
        return ast.Declaration(_span(meta), storage, type_, declarators or ())

    def untyped_declaration(
        self, meta: lark.tree.Meta, storage: str, declarators: tuple[ast.Declarator, ...]
    ) -> ast.Declaration:
        return ast.Declaration(_span(meta), storage, None, declarators)

    def inline(
        self, meta: lark.tree.Meta, type_: ast.TypeSpecifier, declarator: ast.Declarator, *rest: object
    ) -> ast.Inline:
        return ast.Inline(_span(meta), type_, declarator, rest[-1])  # type: ignore[arg-type]

    def storage(self, meta: lark.tree.Meta, word: Token | None = None) -> str:
        return str(word or "")

    storage_only = storage

    def declarators(self, meta: lark.tree.Meta, *items: ast.Declarator) -> tuple[ast.Declarator, ...]:
        return items

    def declarator(
        self, meta: lark.tree.Meta, pointers: int, name: Token, *dimensions: tuple[ast.Expression, ...]
    ) -> ast.Declarator:
        return ast.Declarator(_span(meta), str(name), pointers, dimensions)

    def nested_declarator(
        self,
        meta: lark.tree.Meta,
        pointers: int,
        inner: ast.Declarator,
        *suffixes: tuple[ast.Expression, ...] | ast.Parameters,
    ) -> ast.Declarator:
        return ast.Declarator(_span(meta), inner.name, pointers, suffixes, None, inner)

    def parameters(self, meta: lark.tree.Meta, *items: ast.TypeName | Token | None) -> ast.Parameters:
        return ast.Parameters(_span(meta), tuple(item for item in items if isinstance(item, ast.TypeName)))

    def parameter(
        self,
        meta: lark.tree.Meta,
        type_: ast.TypeName | ast.TypeSpecifier,
        declarator: ast.Declarator | None = None,
    ) -> ast.TypeName:
        if isinstance(type_, ast.TypeName):
            return type_
        assert declarator is not None
        return ast.TypeName(_span(meta), type_, declarator)

    def variable_keys(self, meta: lark.tree.Meta, dots: Token) -> ast.Parameters:
        words = "array prototype may not use a variable-length argument list"
        fail("D_DECL_PROTO_VARARGS", _span(meta), words)

    def pointers(self, meta: lark.tree.Meta, *stars: Token) -> int:
        return len(stars)

    def dimension(
        self, meta: lark.tree.Meta, items: tuple[ast.Expression | ast.TypeName, ...] | None
    ) -> tuple[ast.Expression | ast.TypeName, ...]:
        return items or ()

    def dimension_items(self, meta: lark.tree.Meta, *items: ast.Expression) -> tuple[ast.Expression, ...]:
        return items

    def named_type(self, meta: lark.tree.Meta, *words: Token) -> ast.NamedType:
        return ast.NamedType(_span(meta), tuple(str(word) for word in words))

    def type_word(self, meta: lark.tree.Meta, word: Token) -> Token:
        return word

    def record_type(
        self, meta: lark.tree.Meta, keyword: Token, tag: str | None, *fields: ast.Field
    ) -> ast.RecordType:
        return ast.RecordType(_span(meta), str(keyword), tag or "", fields)

    def record_reference(self, meta: lark.tree.Meta, keyword: Token, tag: str) -> ast.RecordType:
        return ast.RecordType(_span(meta), str(keyword), tag, None)

    def enum_type(self, meta: lark.tree.Meta, tag: str | None, *items: ast.Enumerator) -> ast.EnumType:
        return ast.EnumType(_span(meta), tag or "", items)

    def enum_reference(self, meta: lark.tree.Meta, tag: str) -> ast.EnumType:
        return ast.EnumType(_span(meta), tag, None)

    def enumerator(
        self, meta: lark.tree.Meta, name: Token, *value: Token | ast.Expression | None
    ) -> ast.Enumerator:
        return ast.Enumerator(_span(meta), str(name), value[-1])  # type: ignore[arg-type]

    def tag(self, meta: lark.tree.Meta, name: Token) -> str:
        return str(name)

    def field(
        self, meta: lark.tree.Meta, type_: ast.TypeSpecifier, *declarators: ast.Declarator | None
    ) -> ast.Field:
        return ast.Field(_span(meta), type_, tuple(item for item in declarators if item is not None))

    def field_declarator(
        self, meta: lark.tree.Meta, declarator: ast.Declarator, width: ast.Expression | None
    ) -> ast.Declarator:
        pointers, dimensions, inner = declarator.pointers, declarator.dimensions, declarator.inner
        return ast.Declarator(_span(meta), declarator.name, pointers, dimensions, width, inner)

    def unnamed_bits(self, meta: lark.tree.Meta, width: ast.Expression) -> ast.Declarator:
        return ast.Declarator(_span(meta), "", 0, (), width)

    def type_name(
        self,
        meta: lark.tree.Meta,
        type_: ast.TypeSpecifier,
        pointers: int,
        *dimensions: tuple[ast.Expression, ...],
    ) -> ast.TypeName:
        return ast.TypeName(_span(meta), type_, ast.Declarator(_span(meta), "", pointers, dimensions))

    # expressions

    def binary(
        self, meta: lark.tree.Meta, left: ast.Expression, operator: Token, right: ast.Expression
    ) -> ast.Binary:
        return ast.Binary(_span(meta), str(operator), left, right)

    def assignment(
        self, meta: lark.tree.Meta, target: ast.Expression, operator: Token, value: ast.Expression
    ) -> ast.Assignment:
        return ast.Assignment(_span(meta), str(operator), target, value)

    def conditional(self, meta: lark.tree.Meta, *parts: ast.Expression) -> ast.Conditional:
        return ast.Conditional(_span(meta), *parts)

    def cast(self, meta: lark.tree.Meta, type_: ast.TypeName, operand: ast.Expression) -> ast.Cast:
        return ast.Cast(_span(meta), type_, operand)

    def unary(self, meta: lark.tree.Meta, operator: Token, operand: ast.Expression) -> ast.Unary:
        return ast.Unary(_span(meta), str(operator), operand)

    def step_before(self, meta: lark.tree.Meta, operator: Token, operand: ast.Expression) -> ast.Step:
        return ast.Step(_span(meta), str(operator), operand, True)

    def step_after(self, meta: lark.tree.Meta, operand: ast.Expression, operator: Token) -> ast.Step:
        return ast.Step(_span(meta), str(operator), operand, False)

    def sizeof_type(self, meta: lark.tree.Meta, word: Token, type_: ast.TypeName) -> ast.SizeofType:
        return ast.SizeofType(_span(meta), type_)

    def offsetof(self, meta: lark.tree.Meta, *parts: object) -> ast.Offsetof:
        *_, type_, member = parts
        return ast.Offsetof(_span(meta), type_, str(member))  # type: ignore[arg-type]

    def index(
        self, meta: lark.tree.Meta, base: ast.Expression, indices: tuple[ast.Expression, ...]
    ) -> ast.Index:
        return ast.Index(_span(meta), base, indices)

    def member(
        self, meta: lark.tree.Meta, base: ast.Expression, arrow: Token, name: Token
    ) -> ast.Member | ast.ScopedName:
        if name.type == "MACRO":
            fail("D_SYNTAX", _token_span(name), f'syntax error near "{name}"')
        if isinstance(base, ast.Name) and base.name in ("self", "this") and arrow == "->":
            return ast.ScopedName(_span(meta), base.name, str(name))
        return ast.Member(_span(meta), base, str(arrow), str(name))

    def call(
        self, meta: lark.tree.Meta, name: Token, arguments: tuple[ast.Expression, ...] | None
    ) -> ast.Call:
        return ast.Call(_span(meta), ast.Name(_token_span(name), str(name)), arguments or ())

    def arguments(self, meta: lark.tree.Meta, *items: ast.Expression) -> tuple[ast.Expression, ...]:
        return items

    def name(self, meta: lark.tree.Meta, token: Token) -> ast.Name:
        return ast.Name(_span(meta), str(token))

    def macro(self, meta: lark.tree.Meta, token: Token) -> ast.Macro:
        return ast.Macro(_span(meta), str(token))

    def aggregation(self, meta: lark.tree.Meta, token: Token) -> ast.AggregationName:
        return ast.AggregationName(_span(meta), str(token)[1:] or "_")

    def integer(self, meta: lark.tree.Meta, token: Token) -> ast.Integer:
        return ast.Integer(_span(meta), str(token))

    def float(self, meta: lark.tree.Meta, token: Token) -> ast.Float:
        return ast.Float(_span(meta), str(token))

    def character(self, meta: lark.tree.Meta, token: Token) -> ast.Character:
        return ast.Character(_span(meta), unescape(str(token)[1:-1]))

    def string(self, meta: lark.tree.Meta, token: Token) -> ast.String:
        return ast.String(_span(meta), unescape(str(token)[1:-1]))


def _flatten(statements: tuple[object, ...]) -> tuple[ast.Statement, ...]:
    """Return the statements of a body; nested blocks have no scope of their own in D and dissolve."""
    flat: list[ast.Statement] = []
    for statement in statements:
        if isinstance(statement, tuple):
            flat.extend(statement)
        elif statement is not None:
            flat.append(statement)  # type: ignore[arg-type]
    return tuple(flat)
