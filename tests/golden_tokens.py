"""Ask a version of transformers for the tokens of the folders of `token_folders.py`.

    python -m tests.golden_tokens write FOLDERS          in the project's environment
    python tests/golden_tokens.py ask FOLDERS            in one with transformers 4.57.6
    python tests/golden_tokens.py ask FOLDERS            in one with transformers 5.23.0

The last two put what they are told into `golden/tokens.json`, under the version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden" / "tokens.json"


def write(place: Path) -> None:
    from tests.token_folders import KINDS, LINES
    from tests.token_folders import write as write_folder

    for name, kind in KINDS.items():
        write_folder(kind, place / name)
    (place / "lines.json").write_text(json.dumps(LINES))


def ask(place: Path) -> None:
    import transformers

    lines = json.loads((place / "lines.json").read_text())
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    answers = golden[transformers.__version__] = {}
    for folder in sorted(path for path in place.iterdir() if path.is_dir()):
        prompt = (folder / "prompt.txt").read_text()
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        answers[folder.name] = [tokenizer(prompt + line)["input_ids"] for line in lines]
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden, indent=None, sort_keys=True) + "\n")


if __name__ == "__main__":
    {"write": write, "ask": ask}[sys.argv[1]](Path(sys.argv[2]))
