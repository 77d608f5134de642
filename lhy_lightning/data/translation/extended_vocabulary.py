"""The copy mechanism's extended vocabulary: a sentence's own unknown words are numbered after the known ones."""

from collections.abc import Sequence

import numpy as np

from lhy_lightning.data.tokenizers.special_tokens import TAG, UNK
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer


def extended_ids(
    source: Sequence[str],
    target: Sequence[str] | None,
    source_tokenizer: TextTokenizer,
    target_tokenizer: TextTokenizer,
    words: dict[str, int],
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Ids of the target vocabulary, extended for each pair by the source words that it lacks.

    Section 2.2 of See et al. 2017 (https://arxiv.org/abs/1704.04368): the k-th unknown word of a source sentence, in
    order of first occurrence, is id V + k for that sentence; an unknown target word that does not occur there is UNK.

    Args:
        source, target: N sentences each; target None where there are none.
        source_tokenizer, target_tokenizer: V is the size of the target's vocabulary.
        words: every unknown word and its number, filled in here.

    Returns:
        Lists of N int32 arrays: source ids, target ids (empty list without targets), numbers in `words` of the
        unknown words of each source sentence.
    """
    size, known_ids = len(target_tokenizer), KnownWords(target_tokenizer)
    copies, copy_targets, unknown = [], [], []
    for row, text in enumerate(source):
        places: dict[str, int] = {}
        ids = []
        for word in source_tokenizer.tokens(text):
            known = known_ids[word]
            ids.append(size + places.setdefault(word, len(places)) if known is None else known)
        copies.append(np.array(ids, dtype=np.int32))
        unknown.append(np.array([words.setdefault(word, len(words)) for word in places], dtype=np.int32))
        if target is not None:
            wanted = target_tokenizer.tokens(target[row])
            found = [
                (size + places[word] if word in places else UNK) if (known := known_ids[word]) is None else known
                for word in wanted
            ]
            copy_targets.append(np.array(found, dtype=np.int32))
    return copies, copy_targets, unknown


class KnownWords(dict[str, int | None]):
    """Word to id in the target vocabulary, remembered; special tokens written out in a text are unknown words."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, word: str) -> int | None:
        found = self.tokenizer.id_of(word)
        self[word] = None if found is None or found <= TAG else found
        return self[word]
