"""Tokenizers of the `tokenizers` library, made of the files that folders without a `tokenizer.json`
have: a vocabulary, with its merges where its pieces are of bytes, or a SentencePiece model.

Source: transformers 4.57, convert_slow_tokenizer.py. Where version 5.23 makes other tokens, see
`rebuilt_tokenizers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens import piece_models

# What stands around a text, and around a pair, where `:1` is the second text's segment.
_BERT = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
_MPNET = ("<s> $A </s>", "<s> $A </s> </s> $B:1 </s>:1")
_ROBERTA = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")
_T5 = ("$A </s>", "$A </s> $B </s>")
_TAKES_SPACE = ("albert", "camembert", "mpnet", "roberta")  # with the mask token, before it
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _vocabulary(spec: TokenizerSpec, around: tuple[str, str]):
    """WordPiece of a `vocab.txt`, whose words have up to 100 characters; lines end as in any text
    file and keep their white space.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    lines = Path(spec.path).read_text("utf-8").removesuffix("\n").split("\n")
    numbers = {line: number for number, line in enumerate(lines)}
    made = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _finished(made, spec, around, needed=["[UNK]"])


def _merges(spec: TokenizerSpec, around: tuple[str, str] | None, words: str = ""):
    """Pieces of bytes, of `vocab.json` and `merges.txt`; `words` are cut by the pattern."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    made = Tokenizer(models.BPE.from_file(spec.path, spec.vocabulary))
    space = bool(spec.prefix_space)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space, use_regex=not words)
    if words:
        split = pre_tokenizers.Split(Regex(words), "isolated")
        made.normalizer = normalizers.NFC()
        made.pre_tokenizer = pre_tokenizers.Sequence([split, made.pre_tokenizer])
    return _finished(made, spec, around)


def _albert(spec: TokenizerSpec):
    from tokenizers import Regex, normalizers

    model = piece_models.read(Path(spec.path))
    # A piece of a digit and a comma is not to be taken for a number's end.
    pieces = [
        (p.piece, p.score - 100 if p.piece[-1:] == "," and p.piece[-2:-1].isdigit() else p.score)
        for p in model.pieces
    ]
    rules: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if spec.strip_accents:
        rules += [normalizers.NFKD(), normalizers.StripAccents()]
    if spec.lowercase:
        rules.append(normalizers.Lowercase())
    rules += [*_characters(model), normalizers.Replace(Regex(" {2,}"), " ")]
    return _unigram(spec, model, pieces, model.trainer_spec.unk_id, rules, _BERT)


def _camembert(spec: TokenizerSpec):
    """Behind fairseq's tokens, the model's own; its first, for what is unknown, is not used."""
    model = piece_models.read(Path(spec.path))
    first = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>")
    pieces = [*((token, 0.0) for token in first), ("<unk>NOTUSED", -100.0)]
    pieces += [(p.piece, p.score) for p in model.pieces[1:]] + [("<mask>", 0.0)]
    made = _unigram(spec, model, pieces, 3, _stripped(model), _ROBERTA)
    made.add_special_tokens(["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"])
    return made


def _deberta(spec: TokenizerSpec):
    from tokenizers import Regex, normalizers

    model = piece_models.read(Path(spec.path))
    rules: list[Any] = [normalizers.Lowercase()] if spec.lowercase else []
    rules += [normalizers.Strip(), *_characters(model)]
    rules.append(normalizers.Replace(Regex(" {2,}"), " "))
    pieces = [(p.piece, p.score) for p in model.pieces]
    made = _unigram(spec, model, pieces, model.trainer_spec.unk_id, rules, _BERT)
    made.add_special_tokens(["[MASK]"])  # which version 3 has behind its pieces
    return made


def _t5(spec: TokenizerSpec):
    model = piece_models.read(Path(spec.path))
    more = [f"<extra_id_{number}>" for number in reversed(range(spec.extra_ids))]
    pieces = [(p.piece, p.score) for p in model.pieces] + [(token, 0.0) for token in more]
    made = _unigram(spec, model, pieces, model.trainer_spec.unk_id, _stripped(model), _T5)
    made.add_special_tokens(more)
    return made


def _characters(model) -> list[Any]:
    """The rules for characters that the file holds, if it holds any."""
    from tokenizers import normalizers

    rules = model.normalizer_spec.precompiled_charsmap
    return [normalizers.Precompiled(rules)] if rules else []


def _stripped(model) -> list[Any]:
    from tokenizers import Regex, normalizers

    spaces = normalizers.Replace(Regex(" {2,}"), "▁")
    return [*_characters(model), normalizers.Strip(left=False, right=True), spaces]


def _unigram(
    spec: TokenizerSpec,
    model,
    pieces: Sequence[tuple[str, float]],
    unknown: int,
    rules: list[Any],
    around: tuple[str, str],
):
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

    if not piece_models.is_unigram(model):
        raise ValueError(
            f"{spec.path}: trainer_spec.model_type is not unigram, which is what transformers reads"
            " from such a file; save the tokenizer again, with a tokenizer.json"
        )
    made = Tokenizer(models.Unigram(list(pieces), unknown, False))
    made.normalizer = normalizers.Sequence(rules)
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    for token, special in piece_models.found_first(model):
        made.add_tokens([AddedToken(token, normalized=False, special=special)])
    return _finished(made, spec, around)


def _finished(
    made, spec: TokenizerSpec, around: tuple[str, str] | None, needed: Sequence[str] = ()
):
    """With the special tokens that the files or the class name, and what stands around a text."""
    from tokenizers import AddedToken, processors

    tokens = sorted(
        set(" ".join(around).replace(":1", "").split()) - {"$A", "$B"} if around else ()
    )
    for token in (*tokens, *needed):
        if made.token_to_id(token) is None:
            raise ValueError(f"{spec.path}: has no {token}; is it the file of such a tokenizer?")
    mask = dict(spec.named).get("mask_token") if spec.kind in _TAKES_SPACE else None
    for token in dict(spec.named).values():
        if made.token_to_id(token) is not None:
            made.add_special_tokens([AddedToken(token, lstrip=token == mask, special=True)])
    if around:
        numbers = [(token, made.token_to_id(token)) for token in tokens]
        made.post_processor = processors.TemplateProcessing(*around, special_tokens=numbers)
    return made


# By the kind of a `TokenizerSpec`.
KINDS: Mapping[str, Callable[[TokenizerSpec], Any]] = {
    "albert": _albert,
    "bert_fast": lambda spec: _vocabulary(spec, _BERT),
    "camembert": _camembert,
    "deberta_v2": _deberta,
    "gpt2": lambda spec: _merges(spec, None),
    "mpnet": lambda spec: _vocabulary(spec, _MPNET),
    "qwen2": lambda spec: _merges(spec, None, _QWEN2_WORDS),
    "roberta": lambda spec: _merges(spec, _ROBERTA),
    "t5": _t5,
}
