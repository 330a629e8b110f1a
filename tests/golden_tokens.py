"""Ask a version of transformers for the tokens of the folders of `token_folders.py` and
`older_folders.py`.

    python -m tests.golden_tokens write FOLDERS          in the project's environment
    python tests/golden_tokens.py ask FOLDERS            in one with transformers 4.57.6
    python tests/golden_tokens.py ask FOLDERS            in one with transformers 5.23.0

The last two need protobuf, and put what they are told into `golden/tokens.json`, under the
version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden" / "tokens.json"


def write(place: Path) -> None:
    from tests import older_folders, token_folders

    for module in (older_folders, token_folders):
        for name, kind in module.KINDS.items():
            folder = module.write(kind, place / name)
            (folder / "lines.json").write_text(json.dumps(module.LINES))


def ask(place: Path) -> None:
    """None for a folder that the version does not read."""
    import transformers

    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    answers = golden[transformers.__version__] = {}
    for folder in sorted(path for path in place.iterdir() if path.is_dir()):
        lines, prompt = json.loads((folder / "lines.json").read_text()), folder / "prompt.txt"
        before = prompt.read_text() if prompt.is_file() else ""
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        except TypeError:
            answers[folder.name] = None
            continue
        answers[folder.name] = [tokenizer(before + line)["input_ids"] for line in lines]
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden, indent=None, sort_keys=True) + "\n")


if __name__ == "__main__":
    {"write": write, "ask": ask}[sys.argv[1]](Path(sys.argv[2]))
