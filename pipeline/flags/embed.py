"""The flags of `embed`, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from corpusvec.pipeline.flags.values import above_zero, age, count, share
from corpusvec.transforms.documents.formats import BY_SUFFIX, FORMATS, UNITS

_EPILOG = """\
Beam's own options are accepted too, such as those of --runner.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but not published, 130 interrupted.
"""


# By the groups in which `--help` shows them.
EMBED_FLAGS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "what to read": {
        "input": {
            "action": "append",
            "metavar": "PATTERN[,PATTERN]",
            "help": "files or globs, on any file system that Beam knows; .gz, .bz2 and .zst need"
            " no flag; - reads text or JSON Lines from a pipe",
        },
        "input_format": {
            "choices": ("auto", *FORMATS),
            "default": "auto",
            "help": f"auto goes by the names of files: {BY_SUFFIX} (default: auto)",
        },
        "unit": {
            "choices": UNITS,
            "default": "page",
            "help": "what is a document: a page of a Scrapbox export or a line of it; a Markdown"
            " note (page) or a section below a heading of it; or a chunk of any record (window),"
            " short enough for one window of the model (default: page)",
        },
        "scrapbox_markup": {
            "choices": ("strip", "keep"),
            "default": "strip",
            "help": "strip: the model reads Scrapbox pages and Markdown notes without their"
            " notation (default: strip)",
        },
        "text_column": {
            "metavar": "NAME",
            "help": "column of Parquet, CSV and TSV, or field of JSON Lines, that holds the text"
            " (default: text)",
        },
        "id_column": {
            "metavar": "NAME",
            "help": "column that holds the id (default: id where there is one, otherwise file:row)",
        },
        "pair_column": {
            "metavar": "NAME",
            "help": "column that holds the second text of a pair (default: pair where there is"
            " one)",
        },
        "metadata_columns": {
            "metavar": "NAME[,NAME]",
            "help": "columns to keep as metadata (default: all others of simple types)",
        },
        "id_root": {
            "metavar": "FOLDER",
            "help": "ids of lines contain the path of their file from this folder on (default:"
            " the folder before the pattern's first wildcard)",
        },
        "limit": {
            "type": above_zero,
            "metavar": "N",
            "help": "read only the first N records, for a trial",
        },
    },
    "what to write": {
        "output": {"metavar": "FOLDER", "help": "write snapshots to this folder"},
        "max_rejected": {
            "type": count,
            "default": 0,
            "metavar": "N",
            "help": "do not publish the snapshot if more records than this are rejected (default:"
            " 0)",
        },
        "max_shrink": {
            "type": share,
            "default": 0.5,
            "metavar": "SHARE",
            "help": "do not publish if more than this share of the previous snapshot's documents"
            " is missing (default: 0.5)",
        },
        "max_input_age": {
            "type": age,
            "metavar": "AGE",
            "help": "do not publish if the input is older than this, such as 36h or 3d: an export"
            " by its own date, other files by that of the newest (default: any age)",
        },
        "new_recipe": {
            "action": "store_true",
            "help": "publish even if the recipe (model, layers, vectors, prompt, ...) or --limit"
            " differs from that of the published snapshot",
        },
        "keep": {
            "type": above_zero,
            "metavar": "N",
            "help": "after publishing remove old snapshots, as `snapshots prune --keep=N` does"
            " (default: remove none)",
        },
        "previous": {
            "metavar": "FOLDER",
            "help": "reuse vectors from this output (default: from --output itself)",
        },
        "full": {
            "action": "store_true",
            "help": "embed everything, even texts that have vectors already",
        },
        "vector_dtype": {
            "choices": ("float32", "float16", "int8", "binary", "ubinary"),
            "default": "float32",
            "help": "type of the vectors in the files. float16 halves the space; pandas, Polars,"
            " DuckDB and Hugging Face datasets read it, Spark, fastparquet and BigQuery do"
            " not. int8 is a byte for each number, binary and ubinary a bit (default: float32)",
        },
        "vector_ranges": {
            "metavar": "FILE",
            "help": "for int8: the least and the greatest value of each dimension, as .npy, as JSON"
            " or as another output of `embed` (default: those of the snapshot before, else"
            " measured on 1,000 documents of the input)",
        },
        "vector_encoding": {
            "choices": ("plain", "byte_stream_split"),
            "default": "plain",
            "help": "how Parquet stores the vectors. byte_stream_split saves 9 %% of the space;"
            " Spark 4.0 and fastparquet do not read it, nor does DuckDB in float16"
            " (default: plain, which every program reads)",
        },
    },
    "which model": {
        "model": {
            "metavar": "MODEL",
            "help": "a folder (Hugging Face, TensorFlow 1 checkpoint, SavedModel, TF1 Hub module),"
            " an archive of one, or a handle: https://…, gs://…, s3://…, hf://owner/name",
        },
        "tokenizer": {
            "default": "",
            "metavar": "PATH",
            "help": "folder or file of the tokenizer, if the model's folder has none",
        },
        "do_lower_case": {
            "choices": ("auto", "true", "false"),
            "default": "auto",
            "help": "auto: what the model's files say, otherwise what its original program does",
        },
        "signature": {
            "default": "",
            "metavar": "NAME",
            "help": "which function of a SavedModel or TF1 Hub module to call (default: the one"
            " that `inspect` names)",
        },
        "output_key": {
            "default": "",
            "metavar": "KEY",
            "help": "which output of the function is the sentence vector (default: the one that"
            " `inspect` names)",
        },
        "model_cache": {
            "metavar": "FOLDER",
            "help": "folder for models that are named by a handle (default: TFHUB_CACHE_DIR,"
            " otherwise a folder in the system's temporary one)",
        },
        "refresh_model": {
            "action": "store_true",
            "help": "fetch a model that is named by a handle again, even if the cache has it",
        },
        "precision": {
            "choices": ("float32", "tf32", "bfloat16", "float16"),
            "default": "float32",
            "help": "number type in which the model computes; tf32 is float32 that a GPU multiplies"
            " with fewer digits, float16 is for GPUs and not for SavedModels (default: float32)",
        },
    },
    "which vectors": {
        "layers": {
            "metavar": "LAYER[,LAYER]",
            "help": "write token vectors of these layers: -1 is the last, 0 the embedding output,"
            " -4:-1 are the last four, all is every layer; some models name their layers,"
            " such as elmo (default: no token table)",
        },
        "vectors": {
            "metavar": "COLUMN[,COLUMN]",
            "help": "sentence vectors, each [NAME=]POOLING@LAYER,"
            " [NAME=]POOLING@FROM:TO[/concat|sum|mean] (all for FROM:TO), [NAME=]pooler,"
            " or [NAME=]output@KEY for another output of the model; poolings: cls, sep,"
            " first, last, mean, max, mean_max, mean_sqrt, weighted_mean (default: what"
            " the model's files say, otherwise vector=mean@-2)",
        },
        "normalize": {"action": "store_true", "help": "scale every sentence vector to length 1"},
        "dimensions": {
            "type": above_zero,
            "metavar": "N",
            "help": "keep the first N dimensions of every sentence vector, scaled to length 1 again"
            " if the model's are: for models trained so that these suffice (default: all)",
        },
        "mask_special": {
            "action": "store_true",
            "help": "exclude special tokens ([CLS], [SEP]) from mean, max and the other poolings"
            " over all tokens",
        },
        "prompt": {
            "metavar": "TEXT",
            "help": "text to put before every document, such as 'query: '; or the name of one of"
            " the model's own prompts",
        },
    },
    "long texts": {
        "max_seq_length": {
            "type": above_zero,
            "metavar": "N",
            "help": "number of tokens that the model sees at once, with special ones (default:"
            " what the model's files say)",
        },
        "long_text": {
            "choices": ("window", "truncate", "error"),
            "default": "window",
            "help": "what to do with a text longer than the model: cut it into windows, so that"
            " nothing is lost; truncate it, as the original programs do; or reject it"
            " (default: window)",
        },
        "window_overlap": {
            "type": count,
            "metavar": "N",
            "help": "number of tokens that neighbouring windows share; with --unit=window so many"
            " or fewer (default: a quarter of a window, at most 64)",
        },
        "chunk_tokens": {
            "type": above_zero,
            "metavar": "N",
            "help": "with --unit=window: number of tokens of a chunk at most, with special ones and"
            " the prompt (default: --max_seq_length)",
        },
    },
    "the run": {
        "runner": {
            "default": "local",
            "help": "local (this machine, this process), flink (the cluster of"
            " deploy/flink/cluster.sh, or the one that Beam's --flink_master names),"
            " dataflow (Google's machines, see docs/dataflow.md), or the name of any Beam"
            " runner (default: local)",
        },
        "flink_endpoint": {
            "metavar": "FILE",
            "help": "the endpoint.json that cluster.sh wrote (default: the one in the folder that"
            " CORPUSVEC_FLINK names, otherwise in deploy/flink/run)",
        },
        "start_timeout": {
            "type": above_zero,
            "default": 120,
            "metavar": "SECONDS",
            "help": "time that a cluster's workers have to start and answer (default: 120)",
        },
        "if_running": {
            "choices": ("wait", "fail"),
            "default": "fail",
            "help": "if another run writes to --output: wait for its end, or end at once"
            " (default: fail)",
        },
        "metrics_file": {
            "metavar": "FILE",
            "help": "write the metrics of the run in Prometheus' text format, however the run"
            " ends (see deploy/schedule/README.md)",
        },
        "log_format": {
            "choices": ("text", "json"),
            "default": "text",
            "help": "json: each line on stderr and stdout is an object with time, level, event and"
            " message (default: text)",
        },
        "verbose": {
            "action": "store_true",
            "help": "show tracebacks and the libraries' own log lines",
        },
    },
}


def add_embed_flags(parser: argparse.ArgumentParser) -> None:
    """All flags of `embed`, in the order in which a run uses them."""
    parser.epilog = _EPILOG
    for title, flags in EMBED_FLAGS.items():
        group = parser.add_argument_group(title)
        for name, arguments in flags.items():
            group.add_argument(f"--{name}", **arguments)
