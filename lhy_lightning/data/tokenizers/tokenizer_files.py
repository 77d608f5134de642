"""Tokenizers made elsewhere (a `tokenizer.json`, a folder or hub id that has one), renumbered to our special ids."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lhy_lightning.data.sources.folders import nearest_existing
from lhy_lightning.data.tokenizers.special_tokens import SPECIALS, UNK

_NAMES = (
    ("<pad>", "[PAD]", "<|pad|>"),
    ("<s>", "[CLS]", "<bos>", "<|startoftext|>", "<|begin_of_text|>"),
    ("</s>", "[SEP]", "<eos>", "<|endoftext|>", "<|end_of_text|>"),
    ("<unk>", "[UNK]"),
    ("<bt>",),
)
"""What others call our special tokens, in the order of our ids."""


def open_tokenizer(source: str | Path) -> str:
    """Reads a tokenizer and gives its special tokens our names and ids 0 to 4; the other pieces keep their order.

    Weights trained with the old numbers do not fit the new ones.

    Args:
        source: a `tokenizer.json`, a folder with one, or a hub id.

    Returns:
        The state of a `TextTokenizer`.

    Raises:
        FileNotFoundError: no such file, folder or hub id.
        ValueError: the file is not a tokenizer of the `tokenizers` library.
    """
    path = _find(str(source))
    try:
        state = path.read_text(encoding="utf-8")
        Tokenizer.from_str(state)
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"{path} is not a tokenizer of the `tokenizers` library: {error}") from error
    return renumber(state)


def _find(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        if (path / "tokenizer.json").is_file():
            return path / "tokenizer.json"
        raise FileNotFoundError(
            f"{path} has no tokenizer.json. Where it holds a slow (SentencePiece) tokenizer, "
            "`AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` writes one."
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, "tokenizer.json"))
    except Exception as error:  # offline, unknown, gated …: the hub has an exception for each
        why = str(error).splitlines()[0] if str(error) else "no message"
        raise FileNotFoundError(
            f"tokenizer {source!r} is no file or folder here ({nearest_existing(path)}) and its tokenizer.json could "
            f"not be loaded from the Hugging Face hub ({type(error).__name__}: {why})."
        ) from error


def renumber(state: str) -> str:
    """The same tokenizer with our special tokens in front.

    Its post-processor is dropped (BOS and EOS are added where batches are made), and so are its further special
    tokens' special meaning: `[MASK]` in a text is plain text.
    """
    settings: dict[str, Any] = json.loads(state)
    model = settings["model"]
    unknown = model.get("unk_token")
    if isinstance(model["vocab"], list) and model.get("unk_id") is not None:
        unknown = model["vocab"][model["unk_id"]][0]
    added = [token for token in settings.get("added_tokens", ()) if not token["special"]]
    vocabulary = Tokenizer.from_str(state).get_vocab(with_added_tokens=False)
    old_names = {name for names in _NAMES for name in names} | {unknown}
    rest = [piece for piece in sorted(vocabulary, key=lambda piece: vocabulary[piece]) if piece not in old_names]
    if isinstance(model["vocab"], list):
        scores = dict(model["vocab"])
        model["vocab"] = [[piece, 0.0] for piece in SPECIALS] + [[piece, scores[piece]] for piece in rest]
        model["unk_id"] = UNK
    else:
        model["vocab"] = {piece: number for number, piece in enumerate([*SPECIALS, *rest])}
        if "unk_token" in model:
            model["unk_token"] = SPECIALS[UNK]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    settings["added_tokens"] = [{"id": number, "content": piece, **flags} for number, piece in enumerate(SPECIALS)]
    new_id = {piece: number for number, piece in enumerate([*SPECIALS, *rest])}
    for token in sorted(added, key=lambda token: token["id"]):
        if token["content"] not in old_names:
            token["id"] = new_id.setdefault(token["content"], len(new_id))
            settings["added_tokens"].append(token)
    settings.update(post_processor=None, truncation=None, padding=None)
    return str(Tokenizer.from_str(json.dumps(settings)).to_str())
