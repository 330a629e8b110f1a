"""Tokenizers of Japanese BERTs, and the tokens that transformers makes with them.

python -m tests.japanese_folders write FOLDERS    in the project's environment
python tests/japanese_folders.py ask FOLDERS      where transformers, fugashi, ipadic and
                                                  unidic-lite are: writes golden/japanese.json
                                                      (and with 5.23 golden/japanese.npz)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "japanese.json"
VECTORS = GOLDEN.with_suffix(".npz")
LINES = (
    "東京タワーで会いましょう。",
    "ｶﾞｷﾞｸﾞ ＡＢＣ１２３ ㍿ ㍿の株、①②③",
    "吾輩は猫である。名前はまだ無い。",
    "Wikipediaの記事を BERT で  読みます\tか？\n改行もあります",
    "が か\u3099 カ\uff9e e\u0301 é ﬁ ÅΣ",
    "𠮷野家で😀を食べた",
    "\u00a0x\u2028y",
    "すもももももももものうち",
    "x" * 101 + " " + "y" * 100,
    "İstanbul ΣΊΣΥΦΟΣ ΟΔΟΣ",
    "1,234.5円（税込）です…",
)
SAID: dict[str, dict[str, Any]] = {
    "ipadic": {"mecab_kwargs": {"mecab_dic": "ipadic"}},
    "unidic_lite": {"mecab_kwargs": {"mecab_dic": "unidic_lite"}},
    "no dictionary": {},
    "characters": {
        "subword_tokenizer_type": "character",
        "mecab_kwargs": {"mecab_dic": "ipadic"},
    },
    "lower case": {"do_lower_case": True, "mecab_kwargs": {"mecab_dic": "ipadic"}},
}
_WORDS = """
    東京 タワー で 会い ましょう う 。 、 ガギグ ガ ギ グ ABC abc 株式 会社 株式会社 の 株 123 吾輩
    は 猫 ある 名前 まだ 無い Wikipedia wikipedia 記事 を BERT bert 読み ます か ? が é fi 野家 食べ
    た すもも も もも うち x y 円
    税込 です . , ( ) 東 京 会 い ま し ょ 1 2 3 A B C a b c i ##i ##abc
    ##グ ##ク ##う ##しょう ##y ##stanbul
"""


def vocabulary() -> list[str]:
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(_WORDS.split())]


def settings(name: str) -> dict[str, Any]:
    own = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
    return {**own, "subword_tokenizer_type": "wordpiece", "do_lower_case": False, **SAID[name]}


def write(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings(name)))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return folder


def write_model(folder: Path) -> Path:
    """A BERT of two layers whose tokenizer is of the first kind, averaged."""
    from tests.models import hugging_face_folder

    made = {"vocab": vocabulary(), "tokenizer": "vocab.txt", "positions": 256}
    hugging_face_folder(folder, modules=("pooling",), **made)  # type: ignore[arg-type]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings("ipadic")))
    return folder


def ask(place: Path) -> None:
    import transformers

    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    answers = golden[transformers.__version__] = {}
    for name in SAID:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(place / name))
        answers[name] = [tokenizer.tokenize(line) for line in LINES]
    if transformers.__version__.startswith("5."):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(place / "model"), device="cpu")
        np.savez(VECTORS, vectors=model.encode(list(LINES)))
    GOLDEN.write_text(json.dumps(golden, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    where = Path(sys.argv[2])
    if sys.argv[1] == "ask":
        ask(where)
    else:
        write_model(where / "model")
        for folder_name in SAID:
            write(folder_name, where / folder_name)
