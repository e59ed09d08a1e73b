r"""Characters and their LaTeX macros. All are in the kernel and in its oldest font encoding.

Symbols that LaTeX takes from further text fonts (``\texteuro``, ``\textbullet``) are left out, as
pdflatex stops if those fonts are not installed.
"""

from __future__ import annotations

SIGNS: dict[str, str] = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[]*"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",  # some languages make a command of it
    "\u00a0": "~",
    **dict.fromkeys((chr(code) for code in (0x200C, 0x200D, *range(0xFE00, 0xFE10))), ""),
}
"""Character -> LaTeX; joiners and variation selectors of emoji are invisible and left out."""

# Text.
SIGNS |= {
    **{"–": r"\textendash{}", "—": r"\textemdash{}", "‐": "-", "‑": "-", "−": "$-$"},
    **{"‘": r"\textquoteleft{}", "’": r"\textquoteright{}"},
    **{"“": r"\textquotedblleft{}", "”": r"\textquotedblright{}"},
    **{"…": r"\ldots{}", "¡": r"\textexclamdown{}", "¿": r"\textquestiondown{}"},
    **{"§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}", "®": r"\textregistered{}"},
    **{"£": r"\pounds{}", "€": "EUR", "°": r"$^{\circ}$", "µ": r"$\mu$"},
    **{"†": r"$\dagger$", "‡": r"$\ddagger$", "•": r"$\bullet$", "·": r"$\cdot$"},
    **{"Æ": r"\AE{}", "æ": r"\ae{}", "Œ": r"\OE{}", "œ": r"\oe{}"},
    **{"Ø": r"\O{}", "ø": r"\o{}", "Ł": r"\L{}", "ł": r"\l{}"},
    **{"ß": r"\ss{}", "ı": r"\i{}", "ȷ": r"\j{}", "‹": "$<$", "›": "$>$", "⁄": "/"},
    **{"✗": r"$\times$", "✘": r"$\times$", "★": r"$\star$", "☆": r"$\star$"},
}
SIGNS["✓"] = SIGNS["✔"] = r"$\ifdefined\checkmark\checkmark\else\surd\fi$"

# Greek; those that look like Latin letters have no macro.
_GREEK = "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi . pi rho "
_GREEK += "varsigma sigma tau upsilon varphi chi psi omega"
SIGNS |= {
    chr(ord("α") + place): "o" if name == "." else rf"$\{name}$"
    for place, name in enumerate(_GREEK.split())
}
SIGNS |= dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True))
_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega vartheta phi varpi varrho epsilon"
SIGNS |= {
    letter: rf"$\{name}$" for letter, name in zip("ΓΔΘΛΞΠΣΦΨΩϑϕϖϱϵ", _CAPITALS.split(), strict=True)
}

# Mathematics.
_MATHS = {
    **{"×": "times", "÷": "div", "±": "pm", "∓": "mp", "⋅": "cdot", "∗": "ast", "∘": "circ"},
    **{"≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "≡": "equiv", "∼": "sim", "≃": "simeq"},
    **{"≪": "ll", "≫": "gg", "∝": "propto", "∞": "infty", "√": "surd", "∂": "partial"},
    **{"∇": "nabla", "∑": "textstyle\\sum", "∏": "textstyle\\prod", "∫": "textstyle\\int"},
    **{"∈": "in", "∉": "notin", "⊂": "subset", "⊆": "subseteq", "∪": "cup", "∩": "cap"},
    **{"∅": "emptyset", "∀": "forall", "∃": "exists", "¬": "neg", "∧": "wedge", "∨": "vee"},
    **{"⊕": "oplus", "⊗": "otimes", "ℓ": "ell", "→": "rightarrow", "←": "leftarrow"},
    **{"↔": "leftrightarrow", "↑": "uparrow", "↓": "downarrow", "↦": "mapsto"},
    **{"⇒": "Rightarrow", "⇐": "Leftarrow", "⇔": "Leftrightarrow", "′": "prime"},
}
SIGNS |= {character: rf"$\{name}$" for character, name in _MATHS.items()}
SIGNS |= {high: rf"\textsuperscript{{{digit}}}" for digit, high in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
SIGNS |= {chr(0x2080 + digit): f"$_{{{digit}}}$" for digit in range(10)}

IN_SOME_FONTS: dict[str, tuple[str, str, str]] = {
    **{"đ": (r"\dj{}", r"\dj", "d"), "Đ": (r"\DJ{}", r"\DJ", "D")},
    **{"ð": (r"\dh{}", r"\dh", "d"), "Ð": (r"\DH{}", r"\DH", "D")},
    **{"þ": (r"\th{}", r"\th", "th"), "Þ": (r"\TH{}", r"\TH", "Th")},
    **{"ŋ": (r"\ng{}", r"\ng", "n"), "Ŋ": (r"\NG{}", r"\NG", "N")},
    "«": (r"\guillemotleft{}", r"\guillemotleft", r"$\ll$"),
    "»": (r"\guillemotright{}", r"\guillemotright", r"$\gg$"),
    "„": (r"\quotedblbase{}", r"\quotedblbase", r",\/,"),
    "‚": (r"\quotesinglbase{}", r"\quotesinglbase", ","),
}
"""Character -> text in some font encodings, the macro that these define, and text in others."""

ACCENTS: dict[str, str] = {
    **{"\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\="},
    **{"\u0306": r"\u", "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H"},
    **{"\u030c": r"\v", "\u0323": r"\d", "\u0327": r"\c", "\u0328": r"\k", "\u0331": r"\b"},
}
"""Combining mark -> the macro that puts it on a letter."""
FREE = frozenset(ACCENTS) - {"\u0327", "\u0328"}
"""Marks that fonts can put on any letter."""
ABOVE = FREE - {"\u0323", "\u0331"}
"""Marks that replace the dot of an i."""

LIGATURES = frozenset({"--", "''", "``", ",,", "?`", "!`"})
"""Pairs of characters that fonts print as one."""
