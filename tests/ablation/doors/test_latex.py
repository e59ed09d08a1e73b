"""Any text compiles in each engine without a package, and can be read back."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ablation.doors import to_latex, to_latex_name
from ablation.doors.latex_signs import ACCENTS, IN_SOME_FONTS, SIGNS
from skelcon.printable import printable

ASCII = st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20))
LETTERS = "àéîõüÿçşğőřůÅŚŽñİǔḍḇ"
"""Letters with an accent that every font has."""
PROPERTY = settings(deadline=None)
ANY = (
    st.text(st.characters(exclude_categories=()))
    | ASCII
    | st.text(st.sampled_from([*SIGNS, *IN_SOME_FONTS, *ACCENTS, *LETTERS, "ą", "中", "😀", "-"]))
)
MACRO = {sign: text for text, sign in SIGNS.items() if text.isascii() or text in "–—±αλ≤‘’“”…"}
ACCENT = {macro: mark for mark, macro in ACCENTS.items()}
TOKEN = re.compile("|".join(sorted(map(re.escape, MACRO), key=len, reverse=True)))


def read_back(latex: str) -> str:
    """The text that :func:`to_latex` was given, for ASCII, ``LETTERS`` and some signs."""
    found, at = "", 0
    while at < len(latex):
        sign = TOKEN.match(latex, at)
        accent = re.compile(r"(\\(?:[^A-Za-z{}]|[A-Za-z](?=\{))){(\\i{}|\w)}").match(latex, at)
        if latex.startswith(r"\/", at):
            at += 2
        elif accent and accent[1] in ACCENT:
            letter = "i" if accent[2] == r"\i{}" else accent[2]
            found += unicodedata.normalize("NFC", letter + ACCENT[accent[1]])
            at = accent.end()
        elif sign:
            found += MACRO[sign[0]]
            at = sign.end()
        else:
            found += latex[at]
            at += 1
    return found


@PROPERTY
@given(ASCII | st.text(st.sampled_from([*LETTERS, *"–—±αλ≤‘’“”…", *"a-'`?!<>,[]*"])))
@example("--set [x] ---- ''``?`!` <<a>> ,, \\~^\"|")
def test_a_text_of_letters_and_signs_can_be_read_back(text: str) -> None:
    assert read_back(to_latex(text)) == " ".join(text.split())


@PROPERTY
@given(ANY)
@example("\\\\[1em] \\input{a} %\n$x^2$ &#_{}~")
@example("e\u0301\u0302 a\u0328\u0301 \u0301 中文 😀 \ud800 \x1b")
@example("-\ufe00\u2010")
def test_latex_is_plain_ascii_with_balanced_braces(text: str) -> None:
    latex = to_latex(text)
    assert latex.isascii()
    assert latex.isprintable()
    bare = re.sub(r"\\[{}$%&#_\\]", "", latex)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", bare)
    assert not re.search(r"(?<!\\)[%&#_^\"<>|]", outside)
    assert not re.search(r"(?<!\{)[\[\]*]|--|''|``", outside)


def test_characters_that_fonts_lack_have_a_substitute() -> None:
    assert to_latex("中") == "{[}U+4E2D{]}"
    assert to_latex("Ж😀") == "{[}U+0416{]}{[}U+1F600{]}"
    assert to_latex("ﬁ ½ Ａ") == "fi 1/2 A"
    assert to_latex("a\nb\tc\x00") == "a b c{[}U+0000{]}"
    assert to_latex("👩\u200d🚀\ufe0f") == "{[}U+1F469{]}{[}U+1F680{]}"
    assert to_latex("ą").endswith(r"\k{a}\else {[}U+0105{]}\fi{}")


def test_a_label_has_no_special_characters_of_latex() -> None:
    assert to_latex_name("tab:my_study {a} é%") == "tab:my_study--a----"


def texts(count: int) -> list[str]:
    """All characters of the tables, and ``count`` random texts of all planes; always the same."""
    draw = random.Random(0)
    runs = ["--set", "[x]", "[/x]", "*", "(a)", "\\\\", "&", "#1", "%", "$", "``", "?`", "~^", '"a']
    runs += [*SIGNS, *IN_SOME_FONTS, *LETTERS, "ą", "Ę", "ά", "ế", "ǘ", "e\u0301\u0302"]
    runs += [f"{letter}{mark}" for letter in "aiŁæßα" for mark in ACCENTS]
    found = ["[x]", "*", "(1)", " ", "", *runs, *map(chr, range(0xA0, 0x180))]
    found += [each for each in map(chr, range(0x180, 0x2200)) if "U+" not in to_latex(each)]
    for _ in range(count):
        some = [draw.choice(runs) for _ in range(draw.randint(1, 6))]
        some += [chr(draw.randrange(0x110000)) for _ in range(draw.randint(0, 3))]
        some += [chr(draw.randrange(0x500)) for _ in range(draw.randint(0, 3))]
        draw.shuffle(some)
        found.append("".join(some))
    return found


@pytest.mark.parametrize("fonts", ["", r"\usepackage[T1]{fontenc}\usepackage{lmodern}"])
@pytest.mark.parametrize("engine", ["pdflatex", "lualatex", "xelatex"])
def test_hundreds_of_texts_compile(engine: str, fonts: str, tmp_path: Path) -> None:
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    if fonts and (engine != "pdflatex" or not _has("lmodern.sty")):
        pytest.skip("T1 is a font encoding of pdflatex, here with lmodern")
    lines = [r"\documentclass{article}", fonts, r"\begin{document}"]
    all_texts = texts(300)
    for at in range(0, len(all_texts), 30):
        lines += [r"\begin{tabular}{ll}", r"\hline"]
        for each in map(to_latex, all_texts[at : at + 30]):
            lines.append(rf"{each} & \textbf{{{each}}} \\")
        lines += [r"\end{tabular}", r"\clearpage"]
    odd = " ".join(map(to_latex, all_texts[:60]))
    lines += [rf"\begin{{table}}\caption{{{odd}}}\end{{table}}", r"\listoftables"]
    (tmp_path / "texts.tex").write_text("\n".join([*lines, r"\end{document}", ""]))
    for _ in range(2):  # the second time it reads the captions that it wrote
        ended = subprocess.run(
            [engine, "-interaction=nonstopmode", "-halt-on-error", "texts.tex"],
            cwd=tmp_path,
            capture_output=True,
            timeout=240,
            check=False,
        )
        log = (tmp_path / "texts.log").read_text(errors="replace")
        assert ended.returncode == 0, log[-2000:]
    assert "Missing character" not in log
    assert "Font Warning" not in re.sub(r"LaTeX Font Warning: Size sub[^\n]*", "", log)


def _has(file: str) -> bool:
    found = subprocess.run(["kpsewhich", file], capture_output=True, check=False)
    return found.returncode == 0


def test_an_options_name_is_printed_with_its_dashes(tmp_path: Path) -> None:
    """lualatex makes a dash of ``-{}-``; the text is read from the typeset page."""
    for program in ("lualatex", "pdftotext"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    body = to_latex("Changed by --set ('' and ``)")
    (tmp_path / "a.tex").write_text(
        rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}"
    )
    for engine in filter(shutil.which, ("lualatex", "xelatex", "pdflatex")):
        words = [engine, "-interaction=batchmode", "-halt-on-error", "a.tex"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=240)
        words = ["pdftotext", "a.pdf", "-"]
        page = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
        assert "by --set (’’ and ‘‘)" in page.stdout.decode()


@PROPERTY
@given(ANY)
def test_the_text_is_one_line_with_single_spaces(text: str) -> None:
    latex = to_latex(text)
    assert latex == " ".join(latex.split())
    assert to_latex(printable(text)) == latex
