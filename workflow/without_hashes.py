"""Take torch's hashes from requirements.lock, and all of them for requirements.txt: `make lock`."""

import re
from pathlib import Path

HASHES = re.compile(r"( \\\n +--hash=\S+)+")

lock = Path("requirements.lock")
text = lock.read_text(encoding="utf-8")
text = re.sub(rf"^(torch==\S+){HASHES.pattern}", r"\1", text, flags=re.MULTILINE)
lock.write_text(text, encoding="utf-8")
Path("requirements.txt").write_text(HASHES.sub("", text), encoding="utf-8")
