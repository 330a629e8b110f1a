"""tensorflow-hub: its registry finds models for corpusvec, and corpusvec's for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpusvec.transforms.models.sources import downloads, handles, hubs
from corpusvec.transforms.models.sources.archives import pack
from corpusvec.transforms.models.sources.handles import local_model
from tests import servers
from tests.conftest import ROOT
from tests.hub_modules import nnlm
from tests.servers import Site, body, hugging_face_hub
from tests.transforms.models.sources.test_archives import contents


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    return Path(nnlm(tmp_path_factory.mktemp("module") / "nnlm"))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def add():
    """Adds a resolver to tensorflow-hub's registry for the time of a test."""
    hubs.hub()
    from tensorflow_hub import registry

    before = list(registry.resolver._impls)
    yield registry.resolver.add_implementation
    registry.resolver._impls[:] = before


class Kaggle:
    """As a notebook of Kaggle has one, in which models lie in a folder."""

    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    def is_supported(self, handle):
        return handle.startswith(("https://www.kaggle.com/models/", "mine://"))

    def __call__(self, handle):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


@pytest.mark.parametrize(
    "handle", ["https://www.kaggle.com/models/google/nnlm/TensorFlow2/x/1", "mine://nnlm"]
)
def test_a_resolver_that_someone_added_is_asked_once(add, module, cache, handle):
    add(resolver := Kaggle(module))
    for _ in range(2):
        folder = Path(local_model(handle, None))
        assert folder.parent == cache
        assert contents(folder) == contents(module)
    assert resolver.asked == 1


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ("gs://bucket/model", ValueError, "answers gs://bucket/model, which is no folder"),
        (OSError("mine://u:pw@x\nis gone"), RuntimeError, "not find it: mine://x$"),
    ],
)
def test_a_resolver_that_finds_no_folder_is_one_sentence(add, cache, answer, error, said):
    add(Kaggle(answer))
    with pytest.raises(error, match=f"--model=mine://x: .*{said}"):
        local_model("mine://u:pw@x", None)
    assert list(cache.iterdir()) == []


def test_a_scheme_that_no_resolver_knows_is_refused(add, cache):
    with pytest.raises(ValueError, match="ftp:// is no kind of address"):
        local_model("ftp://a/b", None)


def test_the_environment_of_tensorflow_hub_counts(module, cache, tmp_path, monkeypatch):
    pack(str(module), str(tmp_path / "nnlm.tar.gz"))
    seen = []
    real = downloads.requests.get
    monkeypatch.setattr(
        downloads.requests, "get", lambda *a, **how: seen.append(how["verify"]) or real(*a, **how)
    )
    with servers.serving(Site()) as site:
        site.answers["/nnlm/1"] = body((tmp_path / "nnlm.tar.gz").read_bytes())
        handle = f"{site.address}/nnlm/1"
        monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
        with pytest.raises(ValueError, match=r"TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED .*; unset it"):
            local_model(handle, None)
        assert not site.asked
        monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "COMPRESSED")
        local_model(handle, None)
        monkeypatch.setenv("TFHUB_DISABLE_CERT_VALIDATION", "true")
        local_model(handle, None, refresh=True)
    assert seen == [True, False]


def test_hub_load_knows_models_of_hugging_face_and_stores(module, cache, monkeypatch):
    hub = hubs.hub()
    monkeypatch.setattr(
        handles,
        "_fetch_store",
        lambda handle, folder, scratch: shutil.copytree(module, folder, dirs_exist_ok=True),
    )
    with servers.serving(Site()) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        hugging_face_hub(site, "owner/nnlm", module)
        for handle in ("hf://owner/nnlm", "s3://bucket/nnlm"):
            assert "default" in hub.load(handle).signatures
    assert len(list(cache.glob("*.corpusvec.json"))) == 2


# Python where some modules cannot be found, and what a user types there.
WITHOUT = """
import sys
class Gone:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {gone}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
{first}
import corpusvec
{second}
from tensorflow_hub import registry
(ours,) = [one for one in registry.resolver._impls if one.is_supported("hf://a/b")][1:]
assert "corpusvec" in type(ours).__module__
assert "pkg_resources" not in sys.modules
print(tensorflow_hub.resolve(sys.argv[1]))
"""
PIN = "import types; sys.modules['pkg_resources'] = types.SimpleNamespace(parse_version=len)"


@pytest.mark.parametrize(
    ("gone", "first", "second"),
    [
        ({"pkg_resources"}, "", "import tensorflow_hub"),
        ({"pkg_resources", "setuptools"}, "", "import tensorflow_hub"),
        (set(), f"{PIN}; import tensorflow_hub; del sys.modules['pkg_resources']", ""),
    ],
    ids=["setuptools 84", "no setuptools", "imported before corpusvec"],
)
def test_tensorflow_hub_is_imported_whatever_setuptools_there_is(module, gone, first, second):
    script = WITHOUT.format(gone=gone or "()", first=first, second=second)
    command = [sys.executable, "-c", script, str(module)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{module}\n", done.stderr


def test_a_model_in_the_cache_needs_no_tensorflow_hub(add, module, cache):
    add(Kaggle(module))
    local_model("https://www.kaggle.com/models/a/b/c/d/1", None)
    script = (
        "import sys\n"
        "from corpusvec.transforms.models.sources.handles import local_model\n"
        "local_model('https://www.kaggle.com/models/a/b/c/d/1', None)\n"
        "assert not {'tensorflow', 'tensorflow_hub', 'packaging'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
