"""The flags of `embed`, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from corpusvec.pipeline.flags.values import above_zero, age, count, share

# The formats, named here too so that `--help` need not import what reads them.
INPUT_FORMATS = ("auto", "scrapbox", "text", "pairs", "jsonl")
_EPILOG = """\
Beam's own options are accepted beside these, as --runner's.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but not published, 130 interrupted.
"""


# By the groups in which `--help` shows them.
EMBED_FLAGS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "what to read": {
        "input": {
            "action": "append",
            "metavar": "PATTERN[,PATTERN]",
            "help": "files or globs, on any file system that Beam knows; .gz, .bz2 and .zst are"
            " read as they are",
        },
        "input_format": {
            "choices": INPUT_FORMATS,
            "default": "auto",
            "help": "auto: .json is a Scrapbox export, .txt text (a document a line), .jsonl and"
            " .ndjson JSON lines",
        },
        "unit": {
            "choices": ("page", "line"),
            "default": "page",
            "help": "what of a Scrapbox export is a document (default: page)",
        },
        "scrapbox_markup": {
            "choices": ("strip", "keep"),
            "default": "strip",
            "help": "turn Scrapbox notation into readable text for the model (default: strip)",
        },
        "id_root": {
            "metavar": "FOLDER",
            "help": "ids of lines hold their file's path from here (default: from the folder before"
            " the pattern's first wildcard)",
        },
        "limit": {
            "type": above_zero,
            "metavar": "N",
            "help": "only the first N records, for a trial",
        },
    },
    "what to write": {
        "output": {"metavar": "FOLDER", "help": "where snapshots go"},
        "max_rejected": {
            "type": count,
            "default": 0,
            "metavar": "N",
            "help": "with more bad records than this the snapshot is not published (default: 0)",
        },
        "max_shrink": {
            "type": share,
            "default": 0.5,
            "metavar": "SHARE",
            "help": "nor where more of the documents of the one before are gone than this share"
            " (default: 0.5)",
        },
        "max_input_age": {
            "type": age,
            "metavar": "AGE",
            "help": "nor where the input is older than this, as 36h or 3d: an export by its own"
            " date, other files by that of the newest (default: any age will do)",
        },
        "new_recipe": {
            "action": "store_true",
            "help": "publish it also where its recipe (model, layers, vectors, prompt and the like)"
            " or its --limit is not that of the published snapshot",
        },
        "keep": {
            "type": above_zero,
            "metavar": "N",
            "help": "once it is published remove old snapshots, as `snapshots prune --keep=N` does"
            " (default: remove none)",
        },
        "previous": {
            "metavar": "FOLDER",
            "help": "reuse vectors from this output (default: from --output itself)",
        },
        "full": {
            "action": "store_true",
            "help": "embed everything, also what has vectors already",
        },
        "vector_dtype": {
            "choices": ("float32", "float16"),
            "default": "float32",
            "help": "type of the vectors in the files. float16 takes half the room; pandas, Polars,"
            " DuckDB and Hugging Face datasets read it, Spark, fastparquet and BigQuery do not"
            " (default: float32)",
        },
        "vector_encoding": {
            "choices": ("plain", "byte_stream_split"),
            "default": "plain",
            "help": "how Parquet stores them. byte_stream_split takes 9 %% less room; Spark 4.0 and"
            " fastparquet do not read it, nor does DuckDB in float16 (default: plain, which every"
            " program reads)",
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
            "help": "folder or file of the tokenizer, where the model's folder has none",
        },
        "do_lower_case": {
            "choices": ("auto", "true", "false"),
            "default": "auto",
            "help": "auto: what the model says, else what its original program does",
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
            "help": "which of its outputs is the sentence vector (default: the one that `inspect`"
            " names)",
        },
        "model_cache": {
            "metavar": "FOLDER",
            "help": "where models that are named by a handle are kept (default: TFHUB_CACHE_DIR,"
            " else a folder in the system's temporary one)",
        },
        "refresh_model": {
            "action": "store_true",
            "help": "fetch such a model again, whatever is kept of it",
        },
        "precision": {
            "choices": ("float32", "bfloat16"),
            "default": "float32",
            "help": "of the arithmetic (default: float32)",
        },
    },
    "which vectors": {
        "layers": {
            "metavar": "LAYER[,LAYER]",
            "help": "write token vectors of these layers: -1 is the last, 0 the embedding output,"
            " -4:-1 are the last four, all is every one; some models' have names, as elmo"
            " (default: no token table)",
        },
        "vectors": {
            "metavar": "COLUMN[,COLUMN]",
            "help": "sentence vectors, each [NAME=]POOLING@LAYER,"
            " [NAME=]POOLING@FROM:TO[/concat|sum|mean] (all for FROM:TO), [NAME=]pooler, or"
            " [NAME=]output@KEY for an output of the model's own; poolings: cls, sep, first, last,"
            " mean, max, mean_max, mean_sqrt, weighted_mean (default: what the model's files say,"
            " else vector=mean@-2)",
        },
        "normalize": {"action": "store_true", "help": "make every sentence vector's length 1"},
        "mask_special": {
            "action": "store_true",
            "help": "leave [CLS] and [SEP] out of mean, max and the like",
        },
        "prompt": {
            "metavar": "TEXT",
            "help": "put before every document, as in 'query: '; or the name of one of the model's"
            " own prompts",
        },
    },
    "long texts": {
        "max_seq_length": {
            "type": above_zero,
            "metavar": "N",
            "help": "tokens that the model sees at once, special ones included (default: what the"
            " model's files say)",
        },
        "long_text": {
            "choices": ("window", "truncate", "error"),
            "default": "window",
            "help": "cut longer texts into windows, so that nothing is lost; truncate them, as the"
            " original programs do; or reject them (default: window)",
        },
        "window_overlap": {
            "type": count,
            "metavar": "N",
            "help": "tokens that neighbouring windows share (default: a quarter of a window, 64 at"
            " most)",
        },
    },
    "the run": {
        "runner": {
            "default": "local",
            "help": "local (this machine, this process), flink (the cluster of"
            " deploy/flink/cluster.sh, or the one that Beam's --flink_master names), dataflow"
            " (Google's machines, see deploy/dataflow/README.md), or any Beam runner by its name"
            " (default: local)",
        },
        "flink_endpoint": {
            "metavar": "FILE",
            "help": "what cluster.sh wrote about its cluster (default: endpoint.json in the folder"
            " that CORPUSVEC_FLINK names, else in deploy/flink/run)",
        },
        "start_timeout": {
            "type": above_zero,
            "default": 120,
            "metavar": "SECONDS",
            "help": "for a cluster's workers to start and answer (default: 120)",
        },
        "if_running": {
            "choices": ("wait", "fail"),
            "default": "fail",
            "help": "where another run writes into --output: wait for its end, or leave at once"
            " (default: fail)",
        },
        "metrics_file": {
            "metavar": "FILE",
            "help": "write what a monitor wants to know of the run, however it ends, in Prometheus'"
            " text format (see deploy/schedule/README.md)",
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
