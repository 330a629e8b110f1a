"""Tokenizing alone, from texts to windows, against the library that does the most of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import corpora
from benchmarks.plans import ROOT, Plan
from benchmarks.races import race, ratios
from benchmarks.rows import Row, not_measured, rates, ratio

_TEXTS, _MEAN, _TOGETHER = 20_000, 30, 512
_LEAST = {"WordPiece": 0.95, "SentencePiece": 0.8}
_LEAST_WITH_SPANS = 0.7
_LIBRARY, _WITH_PLACES = "the library", "the library with places"
_SHARED = ROOT.parent / "shared"
_JAPANESE = _SHARED / "golden" / "bert_japanese"
_PAGES = _SHARED / "data" / "scrapbox" / "qualia-san.json"

Run = Callable[[Sequence[str]], object]


def measure(plan: Plan) -> list[Row]:
    """WordPiece in the `tokenizers` library; a SentencePiece model in `sentencepiece`, where the
    reference data is beside this checkout.
    """
    lines = corpora.make(plan.model, plan.scaled(_TEXTS), _MEAN).lines
    rows = _compare("WordPiece", lines, plan.model, {_LIBRARY: word_piece(plan.model)}, plan)
    if not (_JAPANESE.is_dir() and _PAGES.is_file()):
        return [
            *rows,
            not_measured(
                _what("SentencePiece"), f"≥ {_LEAST['SentencePiece']:g}", "no reference data"
            ),
        ]
    japanese = _texts(_PAGES)[: plan.scaled(_TEXTS)]
    file = _JAPANESE / "wiki-ja.model"
    theirs = {
        _LIBRARY: sentence_piece(file),
        _WITH_PLACES: sentence_piece(file, return_type="offset_mapping"),
    }
    return rows + _compare("SentencePiece", japanese, str(_JAPANESE), theirs, plan)


def our_windows(model: str, layers: str | None = None) -> Run:
    """What a run does with the texts that it tokenizes at once; where it is to write token vectors
    of some layers, it finds each token's place in the text too.
    """
    from corpusvec.pipeline.settings import Settings
    from corpusvec.transforms.columns import Documents
    from corpusvec.transforms.tokens.tokenizers import load_tokenizer
    from corpusvec.transforms.tokens.windows import cut

    recipe = Settings(model=model, layers=layers).resolve()
    plan, tokenizer = recipe.windows, load_tokenizer(recipe.spec.tokenizer)

    def windows(texts: Sequence[str]) -> object:
        documents = Documents.of_texts([""] * len(texts), texts, "", 0)
        return cut(documents, tokenizer, plan)

    return windows


def our_ids(model: str) -> Run:
    """The tokenizer without what a run makes of its tokens."""
    from corpusvec.pipeline.settings import Settings
    from corpusvec.transforms.tokens.tokenizers import load_tokenizer
    from corpusvec.transforms.tokens.tokens import tokenized

    tokenizer = load_tokenizer(Settings(model=model).resolve().spec.tokenizer)
    return lambda texts: tokenized(tokenizer, texts, spans=False, strings=False)


def word_piece(model: str) -> Run:
    """The library alone; it cuts nothing, as we do not."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    return lambda texts: library.encode_batch(list(texts))


def sentence_piece(file: Path, **options: str) -> Run:
    """The library alone."""
    import sentencepiece

    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return lambda texts: library.encode(list(texts), **options)


def _compare(
    name: str, lines: Sequence[str], model: str, theirs: Mapping[str, Run], plan: Plan
) -> list[Row]:
    runs = {
        "ours": our_windows(model),
        "ours, ids alone": our_ids(model),
        "ours for token vectors": our_windows(model, layers="-1"),
        **theirs,
    }
    runners = {who: _timed(run, lines) for who, run in runs.items()}
    race(runners, 1)  # to warm up
    found = race(runners, plan.rounds)
    library, with_places = found[_LIBRARY], found["ours for token vectors"]
    return [
        ratio(_what(name), ratios(found["ours"], library), least=_LEAST[name]),
        ratio(f"{_what(name)}, ids alone", ratios(found["ours, ids alone"], library)),
        ratio(
            f"{_what(name)}, for token vectors",
            ratios(with_places, library),
            least=_LEAST_WITH_SPANS,
        ),
        *(
            ratio(f"ours for token vectors ÷ {who}, {name}", ratios(with_places, found[who]))
            for who in theirs
            if who != _LIBRARY
        ),
        *(rates(f"{name}, {who}", speeds, "lines") for who, speeds in found.items()),
    ]


def _what(name: str) -> str:
    return f"tokenizing alone ÷ the library's own, {name}"


def _timed(run: Run, lines: Sequence[str]) -> Callable[[], float]:
    """What gives lines a second, so many at once as a run hands over."""

    def lines_a_second() -> float:
        started = time.perf_counter()
        for start in range(0, len(lines), _TOGETHER):
            run(lines[start : start + _TOGETHER])
        return len(lines) / (time.perf_counter() - started)

    return lines_a_second


def _texts(export: Path) -> list[str]:
    """The lines of a Scrapbox export that are not blank."""
    pages = json.loads(export.read_text("utf-8"))["pages"]
    lines = (line for page in pages for line in page["lines"])
    texts = (line if isinstance(line, str) else line["text"] for line in lines)
    return [text for text in texts if text.strip()]
