"""What a user may write in --layers and --vectors, and what is said of the rest."""

import pytest

from transforms.columns import RESERVED, parse_layers, parse_vectors
from transforms.elements import Document, SentenceVector
from transforms.pooling import POOLINGS
from transforms.schemas import sentence_table
from transforms.specs import VectorColumn

NAMES = ("cls", "mean", "mean_max")  # few, so that messages are short
BERT, OUTPUTS = range(13), ("pooler",)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("-1", [("layer@-1", 12)]),
        ("-1,-2,-3,-4", [("layer@-1", 12), ("layer@-2", 11), ("layer@-3", 10), ("layer@-4", 9)]),
        ("0, 12", [("layer@0", 0), ("layer@12", 12)]),
        ("-12", [("layer@-12", 1)]),
    ],
    ids=["last", "order kept", "counted from below", "lowest from above"],
)
def test_layers(text, columns):
    assert parse_layers(text, BERT) == tuple(columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("13", "--layers=13: the model has 12 layers; use -12..-1 or 0..12"),
        ("-13", "--layers=-13: the model has 12 layers; use -12..-1 or 0..12"),
        ("", "--layers=: '' is not a layer number; write for example -1 for the last layer"),
        ("-1,", "--layers=: '' is not a layer number; write for example -1 for the last layer"),
        (
            "last",
            "--layers=last: 'last' is not a layer number; write for example -1 for the last layer",
        ),
        (
            "1.5",
            "--layers=1.5: '1.5' is not a layer number; write for example -1 for the last layer",
        ),
        ("-1,-1", "--layers=-1,-1: layer -1 is asked for twice; name each layer once"),
        ("-1,12", "--layers=-1,12: layer -1 is asked for twice; name each layer once"),
    ],
    ids=["too high", "too low", "empty", "comma at the end", "word", "half", "twice", "two names"],
)
def test_layers_that_are_refused(text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the whole message is compared)
        parse_layers(text, BERT)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (
            "vector=mean@-1,cls@-2",
            [VectorColumn("vector", "mean", (12,)), VectorColumn("cls@-2", "cls", (11,))],
        ),
        ("mean@0", [VectorColumn("mean@0", "mean", (0,))]),
        ("mean@-4:-1", [VectorColumn("mean@-4:-1", "mean", (9, 10, 11, 12), "concat")]),
        ("s=mean@-4:-1/sum", [VectorColumn("s", "mean", (9, 10, 11, 12), "sum")]),
        ("mean@9:-3/mean", [VectorColumn("mean@9:-3/mean", "mean", (9, 10), "mean")]),
        ("cls@-1:-1/concat", [VectorColumn("cls@-1:-1/concat", "cls", (12,))]),
        ("pooler", [VectorColumn("pooler", "output", output="pooler")]),
        (
            " mine=pooler , mean_max@-2",
            [
                VectorColumn("mine", "output", output="pooler"),
                VectorColumn("mean_max@-2", "mean_max", (11,)),
            ],
        ),
        ("ベクトル=mean@-1", [VectorColumn("ベクトル", "mean", (12,))]),
    ],
    ids=[
        "named and not",
        "embedding output",
        "range",
        "sum",
        "mixed signs",
        "range of one",
        "pooler",
        "spaces",
        "any name",
    ],
)
def test_vectors(text, columns):
    assert parse_vectors(text, NAMES, BERT, OUTPUTS) == tuple(columns)


SYNTAX = (
    "write [NAME=]POOLING@LAYER, [NAME=]POOLING@FROM:TO[/concat|sum|mean], [NAME=]pooler or"
    " [NAME=]output@KEY"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"--vectors='': {SYNTAX}"),
        ("mean@-1,", f"--vectors='': {SYNTAX}"),
        ("mean@", f"--vectors='mean@': {SYNTAX}"),
        ("=mean@-1", f"--vectors='=mean@-1': {SYNTAX}"),
        ("a=b=mean@-1", f"--vectors='a=b=mean@-1': {SYNTAX}"),
        (
            "mean@last",
            "--vectors=mean@last: 'last' is not a layer number; write for example -1 for the last"
            " layer",
        ),
        ("mean@-1/sum", f"--vectors='mean@-1/sum': {SYNTAX}"),
        ("mean", "--vectors=mean: which layer? Write for example mean@-2"),
        (
            "avg@-1",
            "--vectors=avg@-1: 'avg' is no pooling of this model; use one of cls, mean, mean_max,"
            " pooler",
        ),
        ("pooler@-1", "--vectors=pooler@-1: the pooled output is of no layer; write pooler alone"),
        ("mean@13", "--vectors=mean@13: the model has 12 layers; use -12..-1 or 0..12"),
        ("mean@-1:-4", "--vectors=mean@-1:-4: the lower layer comes first; write -4:-1"),
        (
            "mean@-4:-1/max",
            "--vectors=mean@-4:-1/max: layers are put together by concat, sum, mean, not by 'max'",
        ),
        (
            "v=mean@-1,v=cls@-1",
            "--vectors: two columns are named 'v'; name one of them, as in other=cls@-1",
        ),
        (
            "cls@-1,cls@-1",
            "--vectors: two columns are named 'cls@-1'; name one of them, as in other=cls@-1",
        ),
        (
            "text=mean@-1",
            "--vectors: 'text' is a column of its own in the output; choose another name",
        ),
    ],
    ids=[
        "empty",
        "comma at the end",
        "no layer",
        "no name",
        "two names",
        "word",
        "one layer put together",
        "pooling only",
        "unknown pooling",
        "pooler of a layer",
        "too high",
        "wrong way round",
        "unknown combination",
        "same name",
        "same text",
        "name is taken",
    ],
)
def test_vectors_that_are_refused(text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the whole message is compared)
        parse_vectors(text, NAMES, BERT, OUTPUTS)
    assert str(error.value) == message


def test_every_pooling_can_be_asked_for():
    columns = parse_vectors(",".join(f"{name}@-1" for name in POOLINGS), POOLINGS, range(3), ())
    assert [column.pooling for column in columns] == list(POOLINGS)


def test_reserved_names_are_the_tables_own():
    row = SentenceVector(Document("d", "text"), {}, 0, 0, 0, 0)
    assert set(sentence_table([row]).column_names) == RESERVED


ELMO = (0, 1, 2, "elmo")


@pytest.mark.parametrize(
    ("text", "layers", "found"),
    [
        ("elmo", ELMO, ("layer@elmo", "elmo")),
        ("-1", ELMO, ("layer@-1", 2)),
        ("0", ELMO, ("layer@0", 0)),
        ("-1", (1, 2), ("layer@-1", 2)),
        ("-1", (-1,), ("layer@-1", -1)),
        ("-1", (0,), ("layer@-1", 0)),
    ],
    ids=[
        "name",
        "last number",
        "embeddings",
        "without embeddings",
        "last alone",
        "only embeddings",
    ],
)
def test_layers_of_other_models(text, layers, found):
    assert parse_layers(text, layers) == (found,)


@pytest.mark.parametrize(
    ("text", "layers", "message"),
    [
        ("3", ELMO, "--layers=3: the model has 2 layers; use -2..-1 or 0..2, or elmo"),
        ("elom", ELMO, "--layers=elom: 'elom' is not a layer number; write for example -1 for the"),
        ("0", (1, 2), "--layers=0: the model has 2 layers; use -2..-1 or 1..2"),
        ("-2", (-1,), "--layers=-2: the model gives its last layer alone; use -1"),
        ("1", (0,), "--layers=1: the model gives one layer, that of the embeddings; use 0"),
        ("-1", (), "--layers=-1: the model gives sentence vectors only, no layers; leave it away"),
        ("-1", ("vec",), "--layers=-1: the model's layers have names; use vec"),
    ],
    ids=["too high", "no such name", "no embeddings", "last alone", "lookup", "strings", "names"],
)
def test_layers_that_other_models_lack(text, layers, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the message is looked at)
        parse_layers(text, layers)
    assert str(error.value).startswith(message)


def test_an_output_of_the_models_own():
    columns = parse_vectors(
        "output@default,v=output@a/b,mean@elmo", NAMES, ELMO, ("default", "a/b")
    )
    assert columns == (
        VectorColumn("output@default", "output", output="default"),
        VectorColumn("v", "output", output="a/b"),
        VectorColumn("mean@elmo", "mean", ("elmo",)),
    )


def test_an_output_that_is_not_there():
    message = "--vectors=output@defualt: the model has no output 'defualt'; use output@default"
    with pytest.raises(ValueError, match=message):
        parse_vectors("output@defualt", NAMES, ELMO, ("default",))
    with pytest.raises(ValueError, match="no pooler; use a pooling of a layer"):
        parse_vectors("pooler", NAMES, BERT, ())
