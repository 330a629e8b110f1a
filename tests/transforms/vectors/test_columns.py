"""What a user may write in --layers and --vectors, and what is said of the rest."""

import re

import pytest

from corpusvec.transforms.specs import VectorColumn
from corpusvec.transforms.vectors.columns import parse_layers, parse_vectors
from corpusvec.transforms.vectors.poolings import POOLINGS

NAMES = ("cls", "mean", "mean_max")  # few, so that messages are short
BERT, OUTPUTS = range(13), ("pooler",)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("-1", [("layer@-1", 12)]),
        ("-1,-2,-3,-4", [("layer@-1", 12), ("layer@-2", 11), ("layer@-3", 10), ("layer@-4", 9)]),
        ("0, 12", [("layer@0", 0), ("layer@12", 12)]),
        ("-12", [("layer@-12", 1)]),
        ("-3:-1", [("layer@-3", 10), ("layer@-2", 11), ("layer@-1", 12)]),
        ("11:-1,0", [("layer@11", 11), ("layer@12", 12), ("layer@0", 0)]),
        ("-1:-1", [("layer@-1", 12)]),
        ("all", [(f"layer@{n}", n) for n in range(13)]),
    ],
    ids=[
        *("last", "order kept", "counted from below", "lowest from above"),
        *("range", "range from below to above, and one", "range of one", "all"),
    ],
)
def test_layers(text, columns):
    assert parse_layers(text, BERT) == tuple(columns)


THERE_ARE = (
    "the model has layers 0 to 12 (-1 is 12); type --layers=-1, --layers=-4:-1 or --layers=all"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("13", f"--layers=13: {THERE_ARE}"),
        ("-13", f"--layers=-13: {THERE_ARE}"),
        ("0:13", f"--layers=0:13: {THERE_ARE}"),
        ("", f"--layers=: '' is not a layer; {THERE_ARE}"),
        ("-1,", f"--layers=: '' is not a layer; {THERE_ARE}"),
        ("last", f"--layers=last: 'last' is not a layer; {THERE_ARE}"),
        ("1.5", f"--layers=1.5: '1.5' is not a layer; {THERE_ARE}"),
        ("-4:", f"--layers=-4:: '-4:' is not a layer; {THERE_ARE}"),
        ("-1:-4", "--layers=-1:-4: the lower layer comes first; type --layers=-4:-1"),
        ("-1,-1", "--layers=-1,-1: layer -1 is asked for twice; name each layer once"),
        ("-1,12", "--layers=-1,12: layer -1 is asked for twice; name each layer once"),
        ("-2:-1,11", "--layers=-2:-1,11: layer -2 is asked for twice; name each layer once"),
        ("all,-1", "--layers=all,-1: layer 12 is asked for twice; name each layer once"),
    ],
    ids=[
        *("too high", "too low", "range too high", "empty", "comma at the end", "word", "half"),
        *("half a range", "wrong way round", "twice", "two names", "in a range too", "in all too"),
    ],
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
        ("mean@all", [VectorColumn("mean@all", "mean", tuple(BERT), "concat")]),
        ("v=mean@all/mean", [VectorColumn("v", "mean", tuple(BERT), "mean")]),
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
        "all",
        "mean of all",
        "range of one",
        "pooler",
        "spaces",
        "any name",
    ],
)
def test_vectors(text, columns):
    assert parse_vectors(text, NAMES, BERT, OUTPUTS) == tuple(columns)


SYNTAX = (
    "write [NAME=]POOLING@LAYER, [NAME=]POOLING@FROM:TO[/concat|sum|mean] (all for FROM:TO),"
    " [NAME=]pooler or [NAME=]output@KEY"
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
            "--vectors=mean@last: 'last' is not a layer; the model has layers 0 to 12 (-1 is 12);"
            " type --vectors=mean@-1, --vectors=mean@-4:-1 or --vectors=mean@all",
        ),
        ("mean@-1/sum", f"--vectors='mean@-1/sum': {SYNTAX}"),
        ("mean", "--vectors=mean: which layer? Write for example mean@-2"),
        (
            "avg@-1",
            "--vectors=avg@-1: 'avg' is no pooling of this model; use one of cls, mean, mean_max,"
            " pooler",
        ),
        ("pooler@-1", "--vectors=pooler@-1: the pooled output is of no layer; write pooler alone"),
        (
            "w=mean@13:-1",
            "--vectors=w=mean@13:-1: the model has layers 0 to 12 (-1 is 12); type"
            " --vectors=w=mean@-1, --vectors=w=mean@-4:-1 or --vectors=w=mean@all",
        ),
        (
            "mean@-1:-4/sum",
            "--vectors=mean@-1:-4/sum: the lower layer comes first; type --vectors=mean@-4:-1/sum",
        ),
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
        parse_vectors(text, NAMES, BERT, OUTPUTS, {"text"})
    assert str(error.value) == message


def test_every_pooling_can_be_asked_for():
    columns = parse_vectors(",".join(f"{name}@-1" for name in POOLINGS), POOLINGS, range(3), ())
    assert [column.pooling for column in columns] == list(POOLINGS)


ELMO = (0, 1, 2, "elmo")


@pytest.mark.parametrize(
    ("text", "layers", "found"),
    [
        ("elmo", ELMO, ("layer@elmo", "elmo")),
        ("all", ("vec",), ("layer@vec", "vec")),
        ("all", (-1,), ("layer@-1", -1)),
        ("-1:-1", (-1,), ("layer@-1", -1)),
        ("-1", ELMO, ("layer@-1", 2)),
        ("0", ELMO, ("layer@0", 0)),
        ("-1", (1, 2), ("layer@-1", 2)),
        ("-1", (-1,), ("layer@-1", -1)),
        ("-1", (0,), ("layer@-1", 0)),
    ],
    ids=[
        "name",
        "all there are",
        "all, the last alone",
        "range of the last alone",
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
        (
            "3",
            ELMO,
            "--layers=3: the model has layers 0 to 2 (-1 is 2), and elmo; type --layers=-1,"
            " --layers=elmo, --layers=-2:-1 or --layers=all",
        ),
        ("elom", ELMO, "--layers=elom: 'elom' is not a layer; the model has layers 0 to 2 (-1 is"),
        ("0", (1, 2), "--layers=0: the model has layers 1 to 2 (-1 is 2); type --layers=-1 or"),
        ("-2", (-1,), "--layers=-2: the model gives its last layer alone; type --layers=-1"),
        (
            "1",
            (0,),
            "--layers=1: the model gives one layer, that of the embeddings; type --layers=0",
        ),
        (
            "all",
            (),
            "--layers=all: the model gives sentence vectors only, no layers; omit the flag",
        ),
        ("-1", ("vec",), "--layers=-1: the model's layers have names: vec; type --layers=vec"),
    ],
    ids=["too high", "no such name", "no embeddings", "last alone", "lookup", "strings", "names"],
)
def test_layers_that_other_models_lack(text, layers, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the message is looked at)
        parse_layers(text, layers)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "layers", [BERT, ELMO, range(3), (1, 2), (-1,), (0,), ("vec",), ("a", "b")]
)
@pytest.mark.parametrize("asked", ["99", "x", "-99:-1"])
def test_what_a_refusal_says_can_be_typed(asked, layers):
    with pytest.raises(ValueError, match=r"; type --layers=") as refused:
        parse_layers(asked, layers)
    for value in re.findall(r"--layers=([^ ,]+)", str(refused.value).partition("; type ")[2]):
        assert parse_layers(value, layers)
    with pytest.raises(ValueError, match=r"; type --vectors=") as refused:
        parse_vectors(f"mean@{asked}", NAMES, layers, ())
    for value in re.findall(r"--vectors=([^ ,]+)", str(refused.value).partition("; type ")[2]):
        assert parse_vectors(value, NAMES, layers, ())


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
