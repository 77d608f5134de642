"""What a batch holds, by kind of data. Every batch is a dict; evaluation and prediction batches also carry `index`."""

from typing import NotRequired, TypedDict

from torch import Tensor


class ImageBatch(TypedDict):
    """Pictures, float32 in [-1, 1]."""

    image: Tensor  # (N, C, H, W) float32
    label: NotRequired[Tensor]  # (N,) int64, where the rows are labelled
    index: NotRequired[Tensor]  # (N,) int64, row in its split: evaluation and prediction only


class MixedImageBatch(ImageBatch):
    """Training pictures blended (mixup) or patched (cutmix) with another picture of the batch."""

    mixed_label: Tensor  # (N,) int64, class of the other picture
    mix: Tensor  # (N,) float32, weight of `label`; `mixed_label` has 1 - mix


class WeakStrongBatch(ImageBatch):
    """Labelled pictures, and two views of unlabelled ones: the weak view labels, the strong one learns (FixMatch)."""

    weak_image: Tensor  # (M, C, H, W) float32
    strong_image: Tensor  # (M, C, H, W) float32
    unlabelled_index: Tensor  # (M,) int64, row in the unlabelled set


class PseudoLabelBatch(ImageBatch):
    """Labelled pictures, and unlabelled ones that have a pseudo-label; the last two keys are absent while none has."""

    pseudo_image: NotRequired[Tensor]  # (M, C, H, W) float32
    pseudo_label: NotRequired[Tensor]  # (M,) int64


class PairedImageBatch(TypedDict):
    """Pictures and what they are to become (pix2pix), float32 in [-1, 1]: of one size, channels may differ."""

    input: Tensor  # (N, C, H, W) float32
    target: NotRequired[Tensor]  # (N, D, H, W) float32; absent only in prediction from inputs alone
    index: NotRequired[Tensor]  # (N,) int64, row in its split: evaluation and prediction only


class UnpairedImageBatch(TypedDict):
    """Pictures of two domains that have nothing to do with each other (CycleGAN), float32 in [-1, 1].

    A training batch has as many of each. In evaluation and prediction every row of each domain comes once, and the keys
    of the smaller domain are absent from the batches after its last row.
    """

    a: NotRequired[Tensor]  # (N, C, H, W) float32
    b: NotRequired[Tensor]  # (M, C, H, W) float32; M is N in training
    index_a: NotRequired[Tensor]  # (N,) int64, row in its split: evaluation and prediction only
    index_b: NotRequired[Tensor]  # (M,) int64
    label_a: NotRequired[Tensor]  # (N,) int64, where labelled: evaluation only, nothing trains on it
    label_b: NotRequired[Tensor]  # (M,) int64


class DomainBatch(TypedDict):
    """Training rows of domain adaptation, float32 in [-1, 1]: both sides of one size and channel count.

    The target has no labels here, whether they are known or not. In evaluation, prediction, and where labelled target
    rows are trained on, batches are `ImageBatch`; those of several sources then also carry `source_domain`.
    """

    source_image: Tensor  # (N, C, H, W) float32
    source_label: Tensor  # (N,) int64
    source_domain: NotRequired[Tensor]  # (N,) int64, number of the row's source domain, where there are several
    target_image: NotRequired[Tensor]  # (M, C, H, W) float32; absent with target_batch_size 0


class TranslationBatch(TypedDict):
    """Sentence pairs as ids, padded with 0 at the end; source rows end with EOS, target rows have BOS and EOS.

    The last three keys are there with `copying`: ids from V, the size of the target vocabulary, up
    stand for the row's own unknown source words.
    """

    source_ids: Tensor  # (N, S) int64
    target_ids: NotRequired[Tensor]  # (N, T) int64; absent where a split has no references
    index: NotRequired[Tensor]  # (N,) int64, row in its split: evaluation and prediction only
    copy_ids: NotRequired[Tensor]  # (N, S) int64, the source in ids of the extended target vocabulary
    copy_targets: NotRequired[Tensor]  # (N, T) int64, the target in them; UNK where the source has not the word either
    unknown_words: NotRequired[list[list[str]]]  # N lists: what ids V, V + 1 … of the row stand for


class QuestionBatch(TypedDict):
    """Training windows: special tokens, question, a part of the paragraph. Targets are places in the sequence."""

    input_ids: Tensor  # (N, L) int64
    attention_mask: Tensor  # (N, L) int64
    token_type_ids: NotRequired[Tensor]  # (N, L) int64, where the encoder takes them
    start_positions: Tensor  # (N,) int64, first token of the answer; 0, which is [CLS], where the window has none
    end_positions: Tensor  # (N,) int64, last token of the answer


class AnswerBatch(TypedDict):
    """All W windows of N questions, the longest first: evaluation and prediction."""

    input_ids: Tensor  # (W, L) int64
    attention_mask: Tensor  # (W, L) int64
    token_type_ids: NotRequired[Tensor]  # (W, L) int64
    index: Tensor  # (N,) int64, row of each question in its split
    question: Tensor  # (W,) int64, row of the question that a window belongs to
    first: Tensor  # (W,) int64, the paragraph's token that it begins with
    context_start: Tensor  # (W,) int64, place in the sequence of that token
    context_length: Tensor  # (W,) int64, tokens of the paragraph in the window
    chunks: list[tuple[int, int, int]]  # windows [first, end) that the encoder reads at once, cut to this width
    start_positions: NotRequired[Tensor]  # (W,) int64, where answers are known; -100 for no part in the loss
    end_positions: NotRequired[Tensor]  # (W,) int64
