"""`QuestionAnsweringDataModule`: questions about paragraphs of any length as windows that an encoder can read."""

from dataclasses import asdict

import numpy as np
from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.batches import AnswerBatch, QuestionBatch
from lhy_lightning.data.questions.question_batches import QuestionBatches
from lhy_lightning.data.questions.question_reports import OpenedQuestions, told_of_evaluated, told_of_training
from lhy_lightning.data.questions.question_splits import QuestionReading, QuestionSplits
from lhy_lightning.data.questions.window_batches import EvaluationWindows, TrainingWindows, WindowMaker
from lhy_lightning.data.questions.windows import Position, WindowSettings, answer_tokens
from lhy_lightning.data.sequences.length_batches import Filling, LengthEvalBatches
from lhy_lightning.data.texts.base import SPLITS, SplitName, TextArguments
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.texts.encoder_base import EncoderTextDataModule, unknown_share
from lhy_lightning.metrics.texts.answer_texts import Definition

QUESTIONS_AT_ONCE = 4  # times the windows of a chunk: their windows are then divided into chunks of like length


class QuestionArguments(TextArguments, total=False):
    """Arguments that `QuestionAnsweringDataModule` hands on as they are."""

    val_fraction: float
    max_tokens: int | None
    bucket_batches: int
    lowercase: bool


class QuestionAnsweringDataModule(EncoderTextDataModule):
    """Questions and paragraphs from files, tables, the hub or the embedded set, each paragraph tokenised once.

    Long paragraphs are read in windows. How far these reach over each other is `window_overlap`, in tokens; the field's
    word `doc_stride` is not taken, as it means that overlap in `transformers` and the step from one window to the next
    in homework 7.

    All questions about a paragraph are on one side of the splits that are made here.

    Args:
        source: `embedded:questions` or `embedded:questions_zh`; a folder with a file for each split
            (`hw7_train.json`, `train-v1.1.json`, `DRCD_dev.json` …); a JSON file of SQuAD 1 or 2, DRCD, CMRC or
            homework 7; a csv, jsonl or parquet table; a hub id. `predict_source` takes a file in any of these forms.
        drop_leaks: drop training questions about a paragraph of validation or test.
        vocab_size: pieces of a new tokenizer.
        max_length: tokens of a sequence: special tokens, question and window.
        max_question_length: tokens of a question; longer ones are cut.
        window: most tokens of the paragraph in a window (homework 7: 150); what `max_length` leaves if not given.
        window_overlap: tokens that a window shares with the next one (homework 7: 0).
        window_position: of training windows: "random" round the answer, or "centre" (homework 7), after which an
            encoder looks for answers in the middle.
        no_answer_share: share of the training windows that hold no answer and aim at [CLS] (homework 7: 0). It teaches
            the null score by which windows can be compared.
        unanswerable: train on questions that have no answer, and answer "" where the null score is higher (SQuAD 2).
        metric: "squad", "cmrc", "drcd" or "homework"; by the form of the data if not given.
        batch_size: training windows a process.
        eval_batch_size: windows that the encoder reads at once in evaluation; as `batch_size` if not given. On a CPU
            few are fastest (4 to 16), as they stay in its cache.
        arguments: as `EncoderTextDataModule`.

    Attributes:
        metric: after `setup`.
        null_windows: whether windows without the answer are trained on.
        has_test: whether there is a test split.
        test_labelled: whether its answers are known; not so in homework 7.

    Example:
        >>> from lhy_lightning import QuestionAnsweringDataModule
        >>> sizes = {"max_length": 64, "max_question_length": 16, "window_overlap": 8}
        >>> data = QuestionAnsweringDataModule("embedded:questions", vocab_size=500, **sizes)
        >>> data.setup("fit")
        embedded:questions, scored as squad: 10,000 ...
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch["start_positions"].shape
        torch.Size([16])
    """

    split_settings: tuple[str, ...] = (*EncoderTextDataModule.split_settings, "drop_leaks", "unanswerable")
    order_settings: tuple[str, ...] = (
        *EncoderTextDataModule.order_settings, "max_question_length", "window", "window_overlap", "window_position",
        "no_answer_share",
    )  # fmt: skip

    argument_ranges = ranges(
        max_question_length=COUNT, window=COUNT, window_overlap=NOT_NEGATIVE,
        no_answer_share=Range(at_least=0, below=1, said="a share of the windows in [0, 1)"),
    )  # fmt: skip

    metric: Definition

    def __init__(
        self,
        source: str = "embedded:questions",
        *,
        drop_leaks: bool = True,
        vocab_size: int = 2000,
        max_length: int = 384,
        max_question_length: int = 64,
        window: int | None = None,
        window_overlap: int = 128,
        window_position: Position = "random",
        no_answer_share: float = 0.0,
        unanswerable: bool = False,
        metric: Definition | None = None,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        **arguments: Unpack[QuestionArguments],
    ) -> None:
        super().__init__(
            source, vocab_size=vocab_size, max_length=max_length, batch_size=batch_size,
            eval_batch_size=eval_batch_size or batch_size, **arguments,
        )  # fmt: skip
        given = self._args
        if given.max_tokens is not None and given.max_tokens < max_length:
            raise ValueError(f"max_tokens={given.max_tokens} is less than a sequence of max_length={max_length}.")
        self.max_length, self.max_question_length = max_length, max_question_length
        self.window, self.window_overlap = window, window_overlap
        self.unanswerable, self.null_windows = unanswerable, unanswerable or no_answer_share > 0
        self.settings = self.settings_of(WindowSettings)
        self._splits = QuestionSplits(self.settings_of(QuestionReading), self._summary.append)
        self._opened: dict[str, OpenedQuestions] = {}
        self._in_use: str | None = None  # JSON of the tokenizer

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Reads and tokenises what the stage needs; without a trainer, call it yourself.

        Raises:
            ValueError: no answer of the test questions is known, and the stage is to score them.
        """
        if stage == "test":
            self._splits.check_scored(stage)
        module = getattr(self.trainer, "lightning_module", None)
        tokenizer = self._choice.choose(module, self.training_texts, self._folder)
        if tokenizer.to_json() != self._in_use:
            self.tokenizer, self._in_use = tokenizer, tokenizer.to_json()
            self._opened.clear()
        names = SPLITS[stage or "fit"]
        self.metric = self._args.metric or self._splits.split(names[0]).kind
        for name in names:
            self._open(name)
        if stage in (None, "fit"):
            self._splits.check_all()
        self.say(f"{self._read_from(names)}, scored as {self.metric}")

    def _read_from(self, names: tuple[SplitName, ...]) -> str:
        """The sources of the splits that a stage reads, the training one first."""
        given = self._args
        apart = {"val": given.val_source, "test": given.test_source, "predict": given.predict_source}
        return ", ".join(dict.fromkeys(str(apart.get(name) or given.source) for name in names))

    def training_texts(self) -> list[str]:
        train = self._splits.split("train")
        used = sorted({question.paragraph for question in train.questions})
        return [train.paragraphs[place] for place in used] + [question.text for question in train.questions]

    def _open(self, name: SplitName) -> OpenedQuestions:
        if name not in self._opened:
            questions = self._splits.split(name)
            asked = EncodedTexts([q.text for q in questions.questions], self.tokenizer, folder=self._folder)
            paragraphs = EncodedTexts(questions.paragraphs, self.tokenizer, folder=self._folder)
            maker = WindowMaker(
                asked.ids,
                paragraphs.ids,
                np.array([question.paragraph for question in questions.questions], dtype=np.int64),
                self.tokenizer,
                self.settings,
                pad_to_multiple=self._args.pad_to_multiple,
            )
            answers = answer_tokens(questions, paragraphs.starts, paragraphs.ends)
            self._opened[name] = OpenedQuestions(questions, paragraphs, maker, answers)
            for part in (asked, paragraphs):
                unknown = unknown_share(part.ids.values, self.tokenizer)
                self.check_unknown(name, unknown)
            if ends := questions.wrong_ends():
                self._summary.append(f"{name}: {ends}.")
            self._summary += self._told(name, self._opened[name])
        return self._opened[name]

    def _told(self, name: SplitName, opened: OpenedQuestions) -> list[str]:
        if name != "train":
            return told_of_evaluated(name, opened, self.settings)
        return told_of_training(
            opened,
            self._sampler(opened),
            self.settings,
            no_answer_share=self._args.no_answer_share,
            unanswerable=self.unanswerable,
        )

    # --- what others ask -------------------------------------------------------------------------------------------

    @property
    def has_test(self) -> bool:
        return self._splits.has_test

    @property
    def test_labelled(self) -> bool:
        return self._splits.test_labelled

    def opened(self, split: SplitName) -> OpenedQuestions:
        """A split's questions by `index`, and the places of its paragraphs' tokens."""
        return self._open(split)

    # --- loaders ---------------------------------------------------------------------------------------------------

    def _sampler(self, opened: OpenedQuestions) -> QuestionBatches:
        given = self._args
        self._check_some_answer(opened)
        return QuestionBatches(
            opened.maker,
            opened.answers,
            opened.asked,
            position=given.window_position,
            no_answer_share=given.no_answer_share,
            unanswerable=given.unanswerable,
            **asdict(self.settings_of(Filling)),
        )

    def _check_some_answer(self, opened: OpenedQuestions) -> None:
        """Offsets that are all shifted are the usual reason for there being nothing to train on."""
        questions = opened.questions
        if not (opened.answers.found & opened.asked).any() and (wrong := questions.wrong_answers()):
            raise ValueError(
                f"{questions.origin}: no answer stands where it should, {wrong:,} do not ({questions.first_wrong()}). "
                "answer_start counts characters from 0, and answer_text is what stands there."
            )

    def train_dataloader(self) -> ResumableLoader[QuestionBatch]:
        opened = self._open("train")
        windows = TrainingWindows(opened.maker, opened.answers)
        return self.train_loader(windows, self._sampler(opened), num_workers=self._args.num_workers)

    def evaluation_loader(self, name: SplitName) -> DataLoader[AnswerBatch]:
        given, opened = self._args, self._open(name)
        at_once = given.eval_batch_size or given.batch_size
        windows = EvaluationWindows(
            opened.maker,
            opened.answers if name != "predict" else None,
            null_windows=self.null_windows,
            at_once=at_once,
            max_tokens=given.max_tokens if given.eval_batch_size is None else None,
        )
        sampler = LengthEvalBatches(windows.tokens, QUESTIONS_AT_ONCE * at_once, pad_to_multiple=1, split=name)
        return self.loader(windows, sampler, num_workers=given.num_workers)
