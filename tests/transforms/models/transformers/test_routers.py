"""A router's default route is the way of a text, as in sentence-transformers."""

import json

import numpy as np
import pytest

from corpusvec.pipeline.embedders import Embedder
from corpusvec.transforms.models.kinds import describe_model
from tests.models import TEXTS, hugging_face_folder
from tests.static_folders import KINDS, NEW, NORMALIZE
from tests.static_folders import write as write_static

TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
POOLING = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
ROUTER = "sentence_transformers.base.modules.router.Router"
TYPES = {
    "query_0_StaticEmbedding": NEW,
    "document_0_Transformer": TRANSFORMER,
    "document_1_Pooling": POOLING,
}
STRUCTURE = {
    "query": ["query_0_StaticEmbedding"],
    "document": ["document_0_Transformer", "document_1_Pooling"],
}


@pytest.fixture
def folder(tmp_path):
    """`folder(**parameters)`: a router of static embeddings for queries and a BERT for documents,
    normalized.
    """

    def make(file="router_config.json", structure=STRUCTURE, types=TYPES, **parameters):
        write_static(KINDS["bare"], tmp_path / "query_0_StaticEmbedding")
        bert = hugging_face_folder(tmp_path / "document_0_Transformer", modules=("pooling",))
        (bert / "modules.json").unlink()
        (bert / "config_sentence_transformers.json").unlink(missing_ok=True)
        (bert / "1_Pooling").rename(tmp_path / "document_1_Pooling")
        listing = [
            {"idx": 0, "name": "0", "path": "", "type": ROUTER},
            {"idx": 1, "name": "1", "path": "1_Normalize", "type": NORMALIZE},
        ]
        (tmp_path / "modules.json").write_text(json.dumps(listing))
        values = {"types": types, "structure": structure, "parameters": parameters}
        (tmp_path / file).write_text(json.dumps(values))
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"default_route": "document"}, "hugging_face"),
        ({"default_route": "query"}, "static"),
        ({"default_route": None, "allow_empty_key": True}, "static"),
        ({}, "static"),
        ({"route_mappings": {"(None, 'text')": "document"}}, "hugging_face"),
        ({"route_mappings": {"(None, None)": "document"}}, "hugging_face"),
        (
            {"route_mappings": {"('query', None)": "query"}, "default_route": "document"},
            "hugging_face",
        ),
    ],
)
def test_the_route_of_a_text_without_a_task(parameters, kind, folder):
    spec = describe_model(str(folder(**parameters)))
    assert spec.kind == kind
    (note,) = [note for note in spec.notes if note.startswith("router_config.json: texts take")]
    other = "query" if kind == "hugging_face" else "document"
    assert note.endswith(f"{other!r} is not used")
    assert spec.default_columns[0].modules == ("normalize",)


def test_a_router_by_its_older_names(folder):
    place = folder(file="config.json", default_route="document")
    listing = json.loads((place / "modules.json").read_text())
    listing[0]["type"] = "sentence_transformers.models.Asym"
    (place / "modules.json").write_text(json.dumps(listing))
    assert describe_model(str(place)).kind == "hugging_face"


def test_vectors_are_those_of_the_routes_own_model(folder):
    place = folder(default_route="document")
    found = Embedder(model=str(place)).embed(TEXTS[:3])
    bert = place / "document_0_Transformer"
    (bert / "sentence_bert_config.json").unlink()
    alone = Embedder(model=str(bert), vectors="mean@-1").embed(TEXTS[:3])
    expected = alone / np.linalg.norm(alone, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_older_name_of_the_file(folder):
    assert describe_model(str(folder("config.json", default_route="query"))).kind == "static"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"allow_empty_key": False},
            "says no route for texts without a task; its routes are 'quer",
        ),
        ({"default_route": "image"}, "says no route for texts without a task"),
        ({"route_mappings": {"text": "query"}}, "route_mappings: 'text' is no task and modality"),
        ({"other": 1}, "other is 1; corpusvec does not know this setting"),
        ({"types": {}}, "structure: 'query_0_StaticEmbedding' has no class among its types"),
        ({"structure": {"query": ["../x"]}, "types": {"../x": NEW}}, "leads out of the model's"),
        (
            {"types": {**TYPES, "query_0_StaticEmbedding": "a.B"}},
            "class a.B is not implemented",
        ),
    ],
)
def test_routers_that_cannot_be_followed_are_refused(said, message, folder):
    with pytest.raises(ValueError, match=r"router_config\.json: ") as error:
        describe_model(str(folder(**said)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
