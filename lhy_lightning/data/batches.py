"""What a batch holds, by kind of data. Every batch is a dict; evaluation and prediction batches also carry `index`.

A step names the contract of its batches, `training_step(self, batch: ImageBatch, …)`, and the first batch of every
loader is checked against it (`training/checks/first_batches.py`). N, M are rows, L, S, T lengths of sequences.
"""

from typing import Annotated, NotRequired, TypedDict

import torch
from torch import Tensor, float32, int64

from lhy_lightning.core.tensor_spec import Spec


class ImageBatch(TypedDict):
    """Pictures, float32 in [-1, 1]."""

    image: Annotated[Tensor, Spec("N C H W", float32, within=(-1, 1))]
    label: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # where the rows are labelled
    index: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row in its split: evaluation and prediction only


class MixedImageBatch(ImageBatch):
    """Training pictures blended (mixup) or patched (cutmix) with another picture of the batch."""

    mixed_label: Annotated[Tensor, Spec("N", int64)]  # class of the other picture
    mix: Annotated[Tensor, Spec("N", float32, within=(0, 1))]  # weight of `label`; `mixed_label` has 1 - mix


class WeakStrongBatch(ImageBatch):
    """Labelled pictures, and two views of unlabelled ones: the weak view labels, the strong one learns (FixMatch)."""

    weak_image: Annotated[Tensor, Spec("M C H W", float32, within=(-1, 1))]
    strong_image: Annotated[Tensor, Spec("M C H W", float32, within=(-1, 1))]
    unlabelled_index: Annotated[Tensor, Spec("M", int64)]  # row in the unlabelled set


class PseudoLabelBatch(ImageBatch):
    """Labelled pictures, and unlabelled ones that have a pseudo-label; the last two keys are absent while none has."""

    pseudo_image: NotRequired[Annotated[Tensor, Spec("M C H W", float32, within=(-1, 1))]]
    pseudo_label: NotRequired[Annotated[Tensor, Spec("M", int64)]]


class PairedImageBatch(TypedDict):
    """Pictures and what they are to become (pix2pix), float32 in [-1, 1]: of one size, channels may differ."""

    input: Annotated[Tensor, Spec("N C H W", float32, within=(-1, 1))]
    target: NotRequired[Annotated[Tensor, Spec("N D H W", float32, within=(-1, 1))]]  # absent: prediction from inputs
    index: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row in its split: evaluation and prediction only


class UnpairedImageBatch(TypedDict):
    """Pictures of two domains that have nothing to do with each other (CycleGAN), float32 in [-1, 1].

    A training batch has as many of each. In evaluation and prediction every row of each domain comes once, and the keys
    of the smaller domain are absent from the batches after its last row.
    """

    a: NotRequired[Annotated[Tensor, Spec("N C H W", float32, within=(-1, 1))]]
    b: NotRequired[Annotated[Tensor, Spec("M C H W", float32, within=(-1, 1))]]  # M is N in training
    index_a: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row in its split: evaluation and prediction only
    index_b: NotRequired[Annotated[Tensor, Spec("M", int64)]]
    label_a: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # where labelled: evaluation only, nothing trains on it
    label_b: NotRequired[Annotated[Tensor, Spec("M", int64)]]


class DomainBatch(TypedDict):
    """Training rows of domain adaptation, float32 in [-1, 1]: both sides of one size and channel count.

    The target has no labels here, whether they are known or not. In evaluation and prediction batches are
    `EvaluatedDomainBatch`, and where labelled target rows are trained on, `ImageBatch`.
    """

    source_image: Annotated[Tensor, Spec("N C H W", float32, within=(-1, 1))]
    source_label: Annotated[Tensor, Spec("N", int64)]
    source_domain: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # number of the row's source domain, of several
    target_image: NotRequired[Annotated[Tensor, Spec("M C H W", float32, within=(-1, 1))]]  # of target_batch_size > 0


class EvaluatedDomainBatch(ImageBatch):
    """Rows of one domain in evaluation and prediction."""

    source_domain: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # number of the row's source domain, of several


class TranslationBatch(TypedDict):
    """Sentence pairs as ids, padded with 0 at the end; source rows end with EOS, target rows have BOS and EOS.

    The last three keys are there with `copying`: ids from V, the size of the target vocabulary, up
    stand for the row's own unknown source words.
    """

    source_ids: Annotated[Tensor, Spec("N S", int64)]
    target_ids: NotRequired[Annotated[Tensor, Spec("N T", int64)]]  # absent where a split has no references
    index: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row in its split: evaluation and prediction only
    copy_ids: NotRequired[Annotated[Tensor, Spec("N S", int64)]]  # the source in ids of the extended target vocabulary
    copy_targets: NotRequired[Annotated[Tensor, Spec("N T", int64)]]  # the target in them; UNK: not in the source
    unknown_words: NotRequired[list[list[str]]]  # N lists: what ids V, V + 1 … of the row stand for


class TextBatch(TypedDict):
    """Texts, or pairs of texts, with the special tokens of an encoder, padded at the end."""

    input_ids: Annotated[Tensor, Spec("N L", int64)]
    attention_mask: Annotated[Tensor, Spec("N L", int64)]  # 1 where there is a token, 0 where padding
    token_type_ids: NotRequired[Annotated[Tensor, Spec("N L", int64)]]  # where the encoder takes them
    labels: NotRequired[Annotated[Tensor, Spec("N", (int64, float32))]]  # classes, or the numbers of a regression
    index: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row in its split: evaluation and prediction only


class TagBatch(TypedDict):
    """Sentences, or parts of long ones, with a tag at the first piece of every word and -100 elsewhere."""

    input_ids: Annotated[Tensor, Spec("N L", int64)]
    attention_mask: Annotated[Tensor, Spec("N L", int64)]
    token_type_ids: NotRequired[Annotated[Tensor, Spec("N L", int64)]]  # where the encoder takes them
    labels: NotRequired[Annotated[Tensor, Spec("N L", int64)]]
    first_pieces: NotRequired[
        Annotated[Tensor, Spec("N L", torch.bool)]
    ]  # this and the next: evaluation and prediction
    sentence: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row of the sentence that a part belongs to
    index: NotRequired[Annotated[Tensor, Spec("N", int64)]]  # row among the parts


class QuestionBatch(TypedDict):
    """Training windows: special tokens, question, a part of the paragraph. Targets are places in the sequence."""

    input_ids: Annotated[Tensor, Spec("N L", int64)]
    attention_mask: Annotated[Tensor, Spec("N L", int64)]
    token_type_ids: NotRequired[Annotated[Tensor, Spec("N L", int64)]]  # where the encoder takes them
    start_positions: Annotated[Tensor, Spec("N", int64)]  # first token of the answer; 0, [CLS], where there is none
    end_positions: Annotated[Tensor, Spec("N", int64)]  # last token of the answer


class AnswerBatch(TypedDict):
    """All W windows of N questions, the longest first: evaluation and prediction."""

    input_ids: Annotated[Tensor, Spec("W L", int64)]
    attention_mask: Annotated[Tensor, Spec("W L", int64)]
    token_type_ids: NotRequired[Annotated[Tensor, Spec("W L", int64)]]
    index: Annotated[Tensor, Spec("N", int64)]  # row of each question in its split
    question: Annotated[Tensor, Spec("W", int64)]  # row of the question that a window belongs to
    first: Annotated[Tensor, Spec("W", int64)]  # the paragraph's token that it begins with
    context_start: Annotated[Tensor, Spec("W", int64)]  # place in the sequence of that token
    context_length: Annotated[Tensor, Spec("W", int64)]  # tokens of the paragraph in the window
    chunks: list[tuple[int, int, int]]  # windows [first, end) that the encoder reads at once, cut to this width
    start_positions: NotRequired[Annotated[Tensor, Spec("W", int64)]]  # where answers are known; -100: not in the loss
    end_positions: NotRequired[Annotated[Tensor, Spec("W", int64)]]
