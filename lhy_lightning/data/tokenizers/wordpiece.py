"""A vocabulary of word pieces as BERT has it, learnt from texts: equal texts, equal pieces."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Special tokens of a trained tokenizer, in the order of their ids, which begin with 0."""
GOES_ON = "##"
"""What a piece begins with that goes on a word."""


def word_pieces(vocabulary: dict[str, int]) -> Tokenizer:
    """A tokenizer of these pieces, which does not clean what it reads."""
    model = models.WordPiece(vocabulary, unk_token=SPECIALS[1], max_input_chars_per_word=100)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=GOES_ON)
    return tokenizer


def count_words(lines: Iterable[str]) -> Counter[str]:
    """How often each word occurs, punctuation marks and Chinese characters among them."""
    apart = Counter(part for line in lines for part in line.split())
    cut, words = pre_tokenizers.BertPreTokenizer(), Counter[str]()
    for part, count in apart.items():
        for word, _ in cut.pre_tokenize_str(part):
            words[word] += count
    return words


def learn_pieces(words: Counter[str], room: int) -> dict[str, int]:
    """At most `room` pieces beside the special tokens, by the trainer of the `tokenizers` library.

    That trainer numbers the pieces of one character in the order of a hash table, which changes from process to
    process, and decides by these numbers between pairs that are equally frequent. So they are given to it in order, as
    if they were special tokens, which it numbers first.
    """
    single = Counter[str]()
    for word, count in words.items():
        single[word[0]] += count
        for character in word[1:]:
            single[GOES_ON + character] += count
    first = [*SPECIALS, *sorted(single, key=lambda piece: (-single[piece], piece))[:room]]
    trainer = trainers.WordPieceTrainer(
        vocab_size=len(SPECIALS) + room, special_tokens=first, limit_alphabet=len(single) + 1, show_progress=False
    )
    trained = word_pieces({})
    lines = (" ".join([word] * count) for word, count in sorted(words.items()))
    trained.train_from_iterator(lines, trainer)
    found = trained.get_vocab(with_added_tokens=False)
    kept = sorted(found, key=lambda piece: found[piece])[: len(SPECIALS) + room]
    return {piece: number for number, piece in enumerate(kept)}
