"""Texts in a language that a vocabulary is not made for are noticed, and a model for them named."""

import json
from collections.abc import Iterable

import pytest

from corpusvec.pipeline import first_models
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.first_models import JAPANESE, MANY, Languages
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

TEXTS = {
    "English": "In the garden the tomatoes are ripe when their colour is deep and they come off the"
    " vine with a gentle turn; it is best to pick them in the morning, before the heat of the day.",
    "German": "Im Garten sind die Tomaten reif, wenn ihre Farbe kräftig ist und sie sich mit einer"
    " leichten Drehung von der Pflanze lösen; am besten erntet man sie frühmorgens vor der Hitze.",
    "Finnish": "Puutarhassa tomaatit ovat kypsiä, kun niiden väri on syvä ja ne irtoavat"
    " köynnöksestä kevyesti kiertämällä; ne kannattaa poimia aamulla ennen päivän kuumuutta.",
    "Russian": "В саду помидоры созревают, когда их цвет становится насыщенным и они легко"
    " отходят от стебля; лучше всего собирать их утром, пока не наступила дневная жара.",
    "Japanese": "庭のトマトは色が濃くなり、軽くひねるだけで茎から離れるようになったら食べごろです。"
    "日中の暑さが来る前の朝に収穫するのがいちばんよいでしょう。水は控えめにします。",
    "Chinese": "花园里的西红柿颜色变深，轻轻一转就能从藤上摘下来的时候就熟了。"
    "最好在早晨天气变热之前采摘。",
}


def languages_of(texts: Iterable[str], tokenizer=None) -> Languages:
    found = Languages()
    for text in texts:
        tokens = len(tokenizer.encode([text], False)[0]) if tokenizer else 0
        found.add(text, tokens + 2)
    return found


@pytest.fixture(scope="module")
def english(minilm):
    return load_tokenizer(describe_model(minilm).tokenizer)


@pytest.mark.parametrize("language", TEXTS)
def test_an_english_vocabulary_is_strange_to_other_languages(language, english):
    found = languages_of([TEXTS[language]] * 3, english)
    [tokens] = english.encode([TEXTS[language]], False)
    unknown = int((tokens.ids == english.unknown).sum())
    assert bool(found.trouble(unknown, len(tokens))) == (language != "English")
    assert found.model == (JAPANESE if language == "Japanese" else MANY)


def test_a_vocabulary_of_bytes_is_strange_to_japanese():
    found = languages_of([])
    found.add(TEXTS["Japanese"], 3 * len(TEXTS["Japanese"]))
    assert found.strange.startswith("most of the texts are Japanese and have 3.")
    assert found.trouble(0, 1000).endswith("the model's vocabulary is not made for them")


def test_english_texts_beside_fewer_others_are_no_reason(english):
    texts = [TEXTS["English"]] * 5 + [TEXTS["German"], TEXTS["Japanese"]]
    assert languages_of(texts, english).strange == ""


@pytest.mark.parametrize("language", TEXTS)
def test_a_vocabulary_with_the_words_of_a_language_is_not_strange(language):
    found = Languages()
    text = TEXTS[language]
    tokens = len(text) // 2 if language in ("Japanese", "Chinese") else int(1.6 * len(text.split()))
    found.add(text, tokens + 2)
    assert found.strange == ""


@pytest.mark.parametrize("text", ["", "12 34", "a b c", "Garten"])
def test_few_words_tell_nothing(text):
    found = Languages()
    found.add(text, 100)
    assert found.strange == ""


def test_a_run_and_a_plan_name_a_model_for_japanese(minilm, embed, tmp_path, capsys):
    source = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": f"{TEXTS['Japanese']}{n}"}) for n in range(30)]
    source.write_text("\n".join(lines))
    outcome = embed(minilm, source, "--limit=20")
    said = [line for line in outcome.out.splitlines() if line.startswith("warning: ")]
    assert len(said) == 1, outcome.out
    assert "one of Japanese (with plan for embed, it says first what that takes): " in said[0]
    assert said[0].endswith(
        f"--limit=20 --output={outcome.output}-ruri --model={JAPANESE.handle}"
        f" --prompt='{JAPANESE.prompt}'"
    )
    assert main(["plan", f"--model={minilm}", f"--input={source}"]) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line[:5] == "note:"]
    assert note.endswith(
        f"for a model of Japanese, type --model={JAPANESE.handle} --prompt='{JAPANESE.prompt}'"
    )


def test_a_model_is_not_told_of_itself():
    assert first_models.is_same(JAPANESE.handle, "models/ruri-v3-30m")
    assert not first_models.is_same(JAPANESE.handle, "models/all-MiniLM-L6-v2")
