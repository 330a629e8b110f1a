"""Tiny models with random weights, as folders in the forms in which models are published.

The same arguments always make the same folder. `weights_of` reads such a folder, or a real one, for
the references in `oracles.py`; it shares no code with the program.
"""

from __future__ import annotations

import configparser
import functools
import io
import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tokenizers
from safetensors.numpy import load_file, save_file

TEXTS = (
    "The garden is quiet in the morning, and the tomatoes are red.",
    "Water the basil every second day; it does not like wet feet.",
    "A good book, a cup of tea and rain on the roof.",
    "Python 3.11 reads the file line by line and counts 42 words.",
    'She said: "Don\'t forget the bread!" (He forgot it.)',
    "Where do the birds go when it snows?",
    "朝の庭はとても静かで、トマトが赤くなっていた。",
    "バジルには一日おきに水をやる。湿った土は好きではない。",
    "よい本と温かいお茶、そして屋根を打つ雨の音。",
    "猫は窓辺で眠り、犬は庭を走りまわる。",
    "「パンを忘れないで」と彼女は言った。でも彼は忘れた。",
    "雪が降るとき、鳥はどこへ行くのだろう？",
    "東京と京都のあいだを新幹線で二時間あまり。",
    "プログラムは三行で書けるが、説明には三頁かかる。",
)


def numbered(times: int) -> list[str]:
    """`TEXTS`, so often, no two the same: equal texts are embedded once."""
    return [f"{text} {n}" for n, text in enumerate(TEXTS * times)]


BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@functools.cache
def word_piece_vocabulary(lower: bool = True) -> tuple[str, ...]:
    """Special tokens, every word and character of `TEXTS`, the characters once more with `##`."""
    text = " ".join(TEXTS)
    if lower:  # uncased models know no accents either, nor the dots that make か to が
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    words = {word for word in text.split() if word.isascii() and word.isalpha()}
    characters = set(text) - {" "}
    return (
        *BERT_SPECIALS,
        *sorted(characters | words),
        *(f"##{character}" for character in sorted(characters)),
        "##s",
        "##ing",
    )


@functools.cache
def sentence_piece_model(control_symbols: tuple[str, ...] = (), lower: bool = False) -> bytes:
    """A SentencePiece model of `TEXTS`: `<unk>`, `<s>`, `</s>`, the control symbols, pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() if lower else text for text in TEXTS] * 3),
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        character_coverage=1.0,
        control_symbols=",".join(control_symbols),
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def bert_weights(
    *,
    vocab_size: int,
    hidden: int = 16,
    layers: int = 2,
    inner: int | None = None,
    positions: int = 64,
    segment_types: int = 2,
    with_pooler: bool = True,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Random weights of a BERT, float32, by the names of a TF1 checkpoint.

    `inner`, the width between the two dense layers, is `4 * hidden` if absent.
    """
    generator = np.random.default_rng(seed)
    inner = inner or 4 * hidden
    weights = {}

    def normal(name, *shape, mean=0.0, deviation=0.1):
        weights[name] = generator.normal(mean, deviation, shape).astype(np.float32)

    def dense(name, rows, columns):
        normal(f"{name}/kernel", rows, columns, deviation=rows**-0.5)
        normal(f"{name}/bias", columns)

    def norm(name):
        normal(f"{name}/LayerNorm/gamma", hidden, mean=1.0)
        normal(f"{name}/LayerNorm/beta", hidden)

    normal("bert/embeddings/word_embeddings", vocab_size, hidden, deviation=1.0)
    normal("bert/embeddings/token_type_embeddings", segment_types, hidden, deviation=0.5)
    normal("bert/embeddings/position_embeddings", positions, hidden, deviation=0.5)
    norm("bert/embeddings")
    for n in range(layers):
        layer = f"bert/encoder/layer_{n}"
        for part in ("query", "key", "value"):
            dense(f"{layer}/attention/self/{part}", hidden, hidden)
        dense(f"{layer}/attention/output/dense", hidden, hidden)
        norm(f"{layer}/attention/output")
        dense(f"{layer}/intermediate/dense", hidden, inner)
        dense(f"{layer}/output/dense", inner, hidden)
        norm(f"{layer}/output")
    if with_pooler:
        dense("bert/pooler/dense", hidden, hidden)
    return weights


# ----------------------------------------------------------------------------- TF1 checkpoints


def checkpoint_folder(
    path: str | Path,
    *,
    hidden: int = 16,
    layers: int = 2,
    heads: int = 2,
    inner: int | None = None,
    vocab: Sequence[str] | None = None,
    tokenizer: str = "wordpiece",
    positions: int = 64,
    hidden_act: str = "gelu",
    with_pooler: bool = True,
    config: str = "bert_config.json",
    step: int = 1,
    seed: int = 0,
) -> Path:
    """A TF1 checkpoint as google-research/bert or bert-japanese ship it.

    `tokenizer` is "wordpiece" or "sentencepiece", `vocab` is for "wordpiece" only. `config` is
    `bert_config.json` or bert-japanese's `config.ini`. Beside the model's weights the checkpoint
    holds what training leaves there.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer == "wordpiece":
        vocab = word_piece_vocabulary() if vocab is None else vocab
        _write_lines(folder / "vocab.txt", vocab)
        vocab_size = len(vocab)
    elif tokenizer == "sentencepiece":
        model = sentence_piece_model(("[PAD]", "[CLS]", "[SEP]", "[MASK]"), lower=True)
        (folder / "wiki-ja.model").write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        vocab_size = processor.get_piece_size()
        pieces = [
            f"{processor.id_to_piece(n)}\t{processor.get_score(n):g}" for n in range(vocab_size)
        ]
        _write_lines(folder / "wiki-ja.vocab", pieces)
    else:
        raise ValueError(f"no tokenizer is called {tokenizer!r}")
    settings = {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": hidden_act,
        "hidden_dropout_prob": 0.1,
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": inner or 4 * hidden,
        "max_position_embeddings": positions,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "type_vocab_size": 2,
        "vocab_size": vocab_size,
    }
    if config == "config.ini":
        parser = configparser.ConfigParser()
        parser["SENTENCEPIECE"] = {"PREFIX": "wiki-ja", "VOCABSIZE": str(vocab_size)}
        parser["BERT-CONFIG"] = {key: str(value) for key, value in settings.items()}
        with open(folder / config, "w", encoding="utf-8") as file:
            parser.write(file)
    else:
        _write_json(folder / config, settings)
    weights = bert_weights(
        vocab_size=vocab_size,
        hidden=hidden,
        layers=layers,
        inner=inner,
        positions=positions,
        with_pooler=with_pooler,
        seed=seed,
    )
    _save_checkpoint(folder / f"model.ckpt-{step}", weights, step)
    return folder


def _save_checkpoint(prefix: Path, weights: Mapping[str, np.ndarray], step: int) -> None:
    import tensorflow as tf

    first = "bert/embeddings/LayerNorm/beta"
    left_by_training = {
        "global_step": np.int64(step),
        "cls/predictions/transform/dense/bias": weights[first],
        "cls/seq_relationship/output_bias": np.zeros(2, np.float32),
        f"{first}/adam_m": weights[first],
        f"{first}/adam_v": weights[first],
    }
    everything = {**weights, **left_by_training}
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(everything),
        shape_and_slices=[""] * len(everything),
        tensors=list(everything.values()),
    )


# ------------------------------------------------------------------------- Hugging Face folders

POOLING_MODES = (
    "cls_token",
    "max_tokens",
    "mean_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
)


def hugging_face_folder(
    path: str | Path,
    *,
    hidden: int = 16,
    layers: int = 2,
    heads: int = 2,
    inner: int | None = None,
    vocab: Sequence[str] | None = None,
    tokenizer: str = "tokenizer.json",
    do_lower_case: bool = True,
    truncation: int | None = None,
    model_type: str = "bert",
    positions: int = 64,
    hidden_act: str = "gelu",
    layer_norm_eps: float = 1e-12,
    with_pooler: bool = True,
    prefix: str = "",
    modules: Sequence[str] = (),
    pooling: Sequence[str] = ("mean_tokens",),
    dense: Mapping[str, Any] | None = None,
    max_seq_length: int | None = None,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    seed: int = 0,
) -> Path:
    """A BERT as Hugging Face folders hold it; with `modules`, a sentence-transformers model.

    `tokenizer` is "tokenizer.json" (with `truncation`, it cuts and pads to so many tokens),
    "vocab.txt" or "xlmr"; `prefix` stands before the names of the weights (`bert.`). `model_type`
    "xlm-roberta" counts positions from 2 and has one segment; multilingual MiniLM is "bert" with
    the tokenizer "xlmr".

    `modules` come after the transformer, in this order: "pooling" (every mode in `pooling`, names
    as in `POOLING_MODES`), "dense" (`dense` overrides `out_features`, `bias` and
    `activation_function`), "layer_norm", "normalize"; another name becomes a module of a type
    nobody knows.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer == "xlmr":
        vocab_size = _write_xlmr_tokenizer(folder, positions)
    else:
        vocab = word_piece_vocabulary(do_lower_case) if vocab is None else vocab
        vocab_size = len(vocab)
        _write_bert_tokenizer(folder, tokenizer, vocab, do_lower_case, positions, truncation)
    roberta = model_type != "bert"
    weights = bert_weights(
        vocab_size=vocab_size,
        hidden=hidden,
        layers=layers,
        inner=inner,
        positions=positions + 2 if roberta else positions,
        segment_types=1 if roberta else 2,
        with_pooler=with_pooler,
        seed=seed,
    )
    _write_json(
        folder / "config.json",
        {
            "architectures": ["XLMRobertaModel" if roberta else "BertModel"],
            "hidden_act": hidden_act,
            "hidden_size": hidden,
            "intermediate_size": inner or 4 * hidden,
            "layer_norm_eps": layer_norm_eps,
            "max_position_embeddings": positions + 2 if roberta else positions,
            "model_type": model_type,
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "pad_token_id": 1 if roberta else 0,
            "type_vocab_size": 1 if roberta else 2,
            "vocab_size": vocab_size,
        },
    )
    save_file(
        {
            prefix + hugging_face_name(name): np.ascontiguousarray(_turned(name, value))
            for name, value in weights.items()
        },
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    if modules or max_seq_length:
        settings = {"max_seq_length": max_seq_length or positions, "do_lower_case": False}
        _write_json(folder / "sentence_bert_config.json", settings)
    if modules:
        _write_modules(folder, modules, hidden, pooling, dense or {}, seed)
    if prompts is not None:
        settings = {"prompts": dict(prompts), "default_prompt_name": default_prompt}
        _write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def _write_bert_tokenizer(folder, kind, vocab, do_lower_case, positions, truncation) -> None:
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": do_lower_case,
        "model_max_length": positions,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    if kind == "vocab.txt":
        _write_lines(folder / "vocab.txt", vocab)
        return
    if kind != "tokenizer.json":
        raise ValueError(f"no tokenizer is called {kind!r}")
    numbers = {token: number for number, token in enumerate(vocab)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=do_lower_case)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, numbers[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.add_special_tokens([token for token in BERT_SPECIALS if token in numbers])
    if truncation:
        tokenizer.enable_truncation(truncation)
        tokenizer.enable_padding(length=truncation)
    tokenizer.save(str(folder / "tokenizer.json"))


def _write_xlmr_tokenizer(folder: Path, positions: int) -> int:
    """`sentencepiece.bpe.model` -> size of the vocabulary.

    The model's numbers are not the file's: `<s>`, `<pad>`, `</s>`, `<unk>` are 0 to 3, every other
    piece has its number in the file plus one, and `<mask>` is the last.
    """
    model = sentence_piece_model()
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    settings = {
        "tokenizer_class": "XLMRobertaTokenizer",
        "model_max_length": positions,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "cls_token": "<s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    _write_json(folder / "tokenizer_config.json", settings)
    return sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size() + 2


def _write_modules(folder, modules, hidden, pooling, dense, seed) -> None:
    known = {
        "pooling": "Pooling",
        "dense": "Dense",
        "layer_norm": "LayerNorm",
        "normalize": "Normalize",
    }
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    width = hidden
    for n, module in enumerate(modules, start=1):
        name = known.get(module, module)
        place = folder / f"{n}_{name}"
        place.mkdir(exist_ok=True)
        if module == "pooling":
            if unknown := set(pooling) - set(POOLING_MODES):
                raise ValueError(f"no pooling mode is called {sorted(unknown)}")
            modes = {f"pooling_mode_{mode}": mode in pooling for mode in POOLING_MODES}
            _write_json(place / "config.json", {"word_embedding_dimension": width, **modes})
            width *= len(pooling)
        elif module == "dense":
            settings = {
                "in_features": width,
                "out_features": hidden // 2,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
                **dense,
            }
            _write_json(place / "config.json", settings)
            generator = np.random.default_rng((seed, n))
            shape = (settings["out_features"], width)
            linear = {"linear.weight": generator.normal(0, width**-0.5, shape).astype(np.float32)}
            if settings["bias"]:
                linear["linear.bias"] = generator.normal(0, 0.1, shape[:1]).astype(np.float32)
            save_file(linear, place / "model.safetensors", metadata={"format": "pt"})
            width = settings["out_features"]
        elif module == "layer_norm":
            _write_json(place / "config.json", {"dimension": width})
            generator = np.random.default_rng((seed, n))
            norm = {
                f"norm.{part}": generator.normal(mean, 0.3, width).astype(np.float32)
                for part, mean in (("weight", 1), ("bias", 0))
            }
            save_file(norm, place / "model.safetensors", metadata={"format": "pt"})
        entry = {"idx": n, "name": str(n), "path": place.name}
        entries.append({**entry, "type": f"sentence_transformers.models.{name}"})
    _write_json(folder / "modules.json", entries)


# --------------------------------------------------------------------------- reading them again


def weights_of(folder: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A folder's weights by the names of a TF1 checkpoint, its configuration for `oracles.bert`."""
    folder = Path(folder)
    indices = list(folder.glob("*.ckpt-*.index"))
    if indices:
        return _checkpoint_weights(indices[0].with_suffix("")), _checkpoint_config(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config["model_type"] != "bert":
        config["position_offset"] = config["pad_token_id"] + 1
    tensors = {
        name.removeprefix("bert.").removeprefix("roberta."): value
        for name, value in load_file(folder / "model.safetensors").items()
    }
    names = bert_weights(vocab_size=1, hidden=1, layers=config["num_hidden_layers"], positions=1)
    weights = {
        name: _turned(name, tensors[hugging_face_name(name)])
        for name in names
        if hugging_face_name(name) in tensors or not name.startswith("bert/pooler")
    }
    return weights, config


def _checkpoint_weights(prefix: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("bert/") and "/adam_" not in name
    }


def _checkpoint_config(folder: Path) -> dict[str, Any]:
    if (folder / "bert_config.json").is_file():
        config = json.loads((folder / "bert_config.json").read_text("utf-8"))
    else:
        parser = configparser.ConfigParser()
        parser.read(folder / "config.ini", encoding="utf-8")
        config = {
            key: value if key == "hidden_act" else json.loads(value)
            for key, value in parser["BERT-CONFIG"].items()
        }
    if config["hidden_act"] == "gelu":
        config["hidden_act"] = "gelu_tanh"
    return config


def hugging_face_name(name: str) -> str:
    """A weight's name in a TF1 checkpoint -> in a Hugging Face file, without prefix."""
    name = name.removeprefix("bert/").replace("/layer_", "/layer/").replace("/", ".")
    if name.endswith("_embeddings"):
        return f"{name}.weight"
    for old, new in [(".kernel", ".weight"), (".gamma", ".weight"), (".beta", ".bias")]:
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _turned(name: str, value: np.ndarray) -> np.ndarray:
    """Hugging Face keeps the matrices of dense layers turned: [outputs, inputs]."""
    return value.T if name.endswith("/kernel") else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
