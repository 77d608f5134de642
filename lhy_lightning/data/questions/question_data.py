"""`QuestionAnsweringDataModule`: questions about paragraphs of any length as windows that an encoder can read."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from lhy_lightning.core.argument_ranges import COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.questions.question_batches import QuestionBatches
from lhy_lightning.data.questions.question_set import QuestionSet
from lhy_lightning.data.questions.question_splits import QuestionReading, QuestionSplits
from lhy_lightning.data.questions.window_batches import EvaluationWindows, TrainingWindows, WindowMaker
from lhy_lightning.data.questions.windows import AnswerTokens, Position, WindowSettings, answer_tokens
from lhy_lightning.data.sequences.length_batches import LengthEvalBatches
from lhy_lightning.data.sequences.ragged import text_cache_folder
from lhy_lightning.data.texts.base import SPLITS, CourseTextDataModule, SplitName, check_fractions, unknown_share
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.metrics.texts.answer_texts import Definition

MANY_CUT = 0.05  # share of the questions
QUESTIONS_AT_ONCE = 4  # times the windows of a chunk: their windows are then divided into chunks of like length


@dataclass(frozen=True)
class OpenedQuestions:
    """One split, tokenised.

    Attributes:
        questions: N of them.
        paragraphs: their tokens and where these stand.
        maker: makes its windows.
        answers: in tokens.
    """

    questions: QuestionSet
    paragraphs: EncodedTexts
    maker: WindowMaker
    answers: AnswerTokens


class QuestionAnsweringDataModule(CourseTextDataModule):
    """Questions and paragraphs from files, tables, the hub or the embedded set, each paragraph tokenised once.

    Long paragraphs are read in windows. How far these reach over each other is `window_overlap`, in tokens; the field's
    word `doc_stride` is not taken, as it means that overlap in `transformers` and the step from one window to the next
    in homework 7.

    Args:
        source: `embedded:questions` or `embedded:questions_zh`; a folder with a file for each split
            (`hw7_train.json`, `train-v1.1.json`, `DRCD_dev.json` …); a JSON file of SQuAD 1 or 2, DRCD, CMRC or
            homework 7; a csv, jsonl or parquet table; a hub id.
        val_source: validation questions from elsewhere.
        test_source: test questions from elsewhere, with or without answers.
        predict_source: a file of questions to answer, in any of these forms; the test split if not given.
        val_fraction: share of the training questions held out where the source has no validation split; all questions
            about a paragraph stay together.
        test_fraction: the same for a test split; 0 for none.
        split_seed: of the splits made here.
        drop_leaks: drop training questions about a paragraph of validation or test.
        tokenizer_file: folder or hub id of a tokenizer; if not given, that of the model's encoder, or a new WordPiece.
        vocab_size: pieces of a new one.
        lowercase: a new one reads everything in small letters.
        max_length: tokens of a sequence: special tokens, question and window.
        max_question: tokens of a question; longer ones are cut.
        window: most tokens of the paragraph in a window (homework 7: 150); what `max_length` leaves if not given.
        window_overlap: tokens that a window shares with the next one (homework 7: 0).
        window_position: of training windows: "random" round the answer, or "centre" (homework 7), after which an
            encoder looks for answers in the middle.
        no_answer_share: share of the training windows that hold no answer and aim at [CLS] (homework 7: 0). It teaches
            the null score by which windows can be compared.
        unanswerable: train on questions that have no answer, and answer "" where the null score is higher (SQuAD 2).
        metric: "squad", "cmrc", "drcd" or "homework"; by the form of the data if not given.
        batch_size: training windows a process.
        max_tokens: padded tokens a training batch and process instead.
        eval_batch_size: windows that the encoder reads at once in evaluation; as `batch_size` if not given. On a CPU
            few are fastest (4 to 16), as they stay in its cache.
        bucket_batches: how many batches' windows are sorted by length together; 0 for none.
        pad_to_multiple: sequences are padded to a multiple of it.
        num_workers: processes that make batches; 0 is fastest, as a batch takes less than a millisecond.
        cache_dir: folder for tokenised text; `~/.cache/lhy_lightning/text` if not given.

    Attributes:
        tokenizer: after `setup`; the model's own where it has been trained before.
        metric: after `setup`.
        null_windows: whether windows without the answer are trained on.
        has_test: whether there is a test split.
        test_labelled: whether its answers are known; not so in homework 7.
    """

    split_settings: tuple[str, ...] = (
        "source", "val_source", "test_source", "val_fraction", "test_fraction", "split_seed", "drop_leaks",
        "unanswerable",
    )  # fmt: skip
    order_settings: tuple[str, ...] = (
        "batch_size", "max_tokens", "max_length", "max_question", "window", "window_overlap", "window_position",
        "no_answer_share", "bucket_batches", "pad_to_multiple",
    )  # fmt: skip
    kept_settings: tuple[str, ...] = ("tokenizer_file", "vocab_size", "lowercase")

    argument_ranges = ranges(
        max_question=COUNT, window=COUNT, window_overlap=NOT_NEGATIVE,
        no_answer_share=Range(at_least=0, below=1, said="a share of the windows in [0, 1)"),
    )  # fmt: skip

    tokenizer: EncoderTokenizer
    metric: Definition

    def __init__(
        self,
        source: str = "embedded:questions",
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        predict_source: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.0,
        split_seed: int = 0,
        drop_leaks: bool = True,
        tokenizer_file: str | None = None,
        vocab_size: int = 2000,
        lowercase: bool = True,
        max_length: int = 384,
        max_question: int = 64,
        window: int | None = None,
        window_overlap: int = 128,
        window_position: Position = "random",
        no_answer_share: float = 0.0,
        unanswerable: bool = False,
        metric: Definition | None = None,
        batch_size: int = 16,
        max_tokens: int | None = None,
        eval_batch_size: int | None = None,
        bucket_batches: int = 50,
        pad_to_multiple: int = 8,
        num_workers: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.max_length, self.max_question = max_length, max_question
        self.window, self.window_overlap = window, window_overlap
        self.unanswerable, self.null_windows = unanswerable, unanswerable or no_answer_share > 0
        self.settings = WindowSettings(max_length, max_question, window, window_overlap)
        self._check_arguments()
        how = {field.name: self._given[field.name] for field in fields(QuestionReading)}
        self._splits = QuestionSplits(QuestionReading(**how), self._said.append)
        self._choice = TokenizerChoice(tokenizer_file, vocab_size, lowercase)
        self._folder = text_cache_folder(cache_dir)
        self._opened: dict[str, OpenedQuestions] = {}
        self._in_use: str | None = None  # JSON of the tokenizer

    @property
    def _given(self) -> Any:
        return self.hparams

    def _check_arguments(self) -> None:
        given = self._given
        if given.max_tokens is not None and given.max_tokens < given.max_length:
            raise ValueError(f"max_tokens={given.max_tokens} is less than a sequence of max_length={given.max_length}.")
        check_fractions(given.val_fraction, given.test_fraction)

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Reads and tokenises what the stage needs; without a trainer, call it yourself.

        Raises:
            ValueError: no answer of the test questions is known, and the stage is to score them.
        """
        if stage == "test":
            self._splits.check_scored(stage)
        module = getattr(self.trainer, "lightning_module", None)
        tokenizer = self._choice.choose(module, self._training_texts, self._folder)
        if tokenizer.to_json() != self._in_use:
            self.tokenizer, self._in_use = tokenizer, tokenizer.to_json()
            self._opened.clear()
        names = SPLITS[stage or "fit"]
        self.metric = self._given.metric or self._splits.split(names[0]).kind
        for name in names:
            self._open(name)
        if stage in (None, "fit"):
            self._splits.check_all()
        self.say(f"{self._read_from(names)}, scored as {self.metric}")

    def _read_from(self, names: tuple[SplitName, ...]) -> str:
        """The sources of the splits that a stage reads, the training one first."""
        given = self._given
        apart = {"val": given.val_source, "test": given.test_source, "predict": given.predict_source}
        return ", ".join(dict.fromkeys(str(apart.get(name) or given.source) for name in names))

    def _training_texts(self) -> list[str]:
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
                pad_to_multiple=self._given.pad_to_multiple,
            )
            answers = answer_tokens(questions, paragraphs.starts, paragraphs.ends)
            self._opened[name] = OpenedQuestions(questions, paragraphs, maker, answers)
            for part in (asked, paragraphs):
                unknown = unknown_share(part.ids.values, self.tokenizer)
                self.check_unknown(name, unknown, self._choice, self._training_texts)
            if ends := questions.wrong_ends():
                self._said.append(f"{name}: {ends}.")
            if name == "train":
                self._report_training(self._opened[name])
            else:
                self._report_evaluated(name, self._opened[name])
        return self._opened[name]

    # --- what is said about it -------------------------------------------------------------------------------------

    def _cut(self, name: str, opened: OpenedQuestions) -> None:
        asked = opened.maker.questions.lengths
        if cut := int((asked > self.max_question).sum()):
            told = f"{cut:,} {name} questions cut to {self.max_question} tokens (longest {asked.max()})."
            if cut > MANY_CUT * len(asked):  # the setting is of other questions
                whole = int(np.quantile(asked, 0.99))
                length = self.max_length + whole - self.max_question
                told += (
                    f" --data.max_question {whole} leaves 99 of 100 whole, with --data.max_length {length} beside "
                    "windows as long as now."
                )
            self._said.append(told)

    def _report_training(self, opened: OpenedQuestions) -> None:
        sampler, answers, maker = self._sampler(opened), opened.answers, opened.maker
        told = f"{len(opened.questions):,} training questions, {sampler.with_answer:,} windows with an answer an epoch"
        self._said.append(f"{told}, {sampler.without_answer:,} without.")
        labelled = np.array([bool(question.answers) for question in opened.questions.questions])
        too_long = answers.found & (answers.last - answers.first >= maker.room)
        misplaced = int((labelled & ~answers.found & self._asked(opened)).sum())
        skipped = {
            "without text": int((~self._asked(opened)).sum()),
            "whose answer does not stand where it should": misplaced,
            "whose answer is longer than a window": int(too_long.sum()),
            "without an answer": int((~labelled).sum()) if not self.unanswerable else 0,
        }
        if any(skipped.values()):
            listed = ", ".join(f"{count:,} {why}" for why, count in skipped.items() if count)
            first = f" ({wrong})" if misplaced and (wrong := opened.questions.first_wrong()) else ""
            self._said.append(f"Training skips questions: {listed}{first}.")
        if self._given.no_answer_share and not sampler.without_answer:
            self._said.append("No paragraph is longer than a window, so there are no windows without an answer.")
        self._cut("training", opened)

    def _report_evaluated(self, name: str, opened: OpenedQuestions) -> None:
        questions = opened.questions
        windows = len(EvaluationWindows(opened.maker).grid)
        unknown = sum(not question.labelled for question in questions.questions)
        without = "" if not unknown else f", {unknown:,} of them without a known answer"
        self._said.append(f"{len(questions):,} {name} questions{without}, {windows:,} windows.")
        if empty := int((~self._asked(opened)).sum()):
            self._said.append(f"{empty:,} {name} rows have no question or no paragraph.")
        if wrong := questions.wrong_answers():
            first = questions.first_wrong()
            self._said.append(
                f"{wrong:,} {name} answers do not stand where they should ({first}); their text still counts."
            )
        self._cut(name, opened)

    def _asked(self, opened: OpenedQuestions) -> np.ndarray:
        """Rows that have a question and a paragraph: (N,) bool."""
        return (opened.maker.question_lengths > 0) & (opened.maker.lengths > 0)

    # --- what others ask -------------------------------------------------------------------------------------------

    @property
    def has_test(self) -> bool:
        return self._splits.has_test

    @property
    def test_labelled(self) -> bool:
        return self._splits.test_labelled

    @property
    def predict_source(self) -> str | None:
        """The file whose questions are answered; None where the test split's are."""
        source: str | None = self._given.predict_source
        return source

    def opened(self, split: SplitName) -> OpenedQuestions:
        """A split's questions by `index`, and the places of its paragraphs' tokens."""
        return self._open(split)

    # --- loaders ---------------------------------------------------------------------------------------------------

    def _sampler(self, opened: OpenedQuestions) -> QuestionBatches:
        given = self._given
        self._check_some_answer(opened)
        return QuestionBatches(
            opened.maker,
            opened.answers,
            self._asked(opened),
            position=given.window_position,
            no_answer_share=given.no_answer_share,
            unanswerable=given.unanswerable,
            batch_size=given.batch_size,
            max_tokens=given.max_tokens,
            pad_to_multiple=given.pad_to_multiple,
            bucket_batches=given.bucket_batches,
        )

    def _check_some_answer(self, opened: OpenedQuestions) -> None:
        """Offsets that are all shifted are the usual reason for there being nothing to train on."""
        questions = opened.questions
        if not (opened.answers.found & self._asked(opened)).any() and (wrong := questions.wrong_answers()):
            raise ValueError(
                f"{questions.origin}: no answer stands where it should, {wrong:,} do not ({questions.first_wrong()}). "
                "answer_start counts characters from 0, and answer_text is what stands there."
            )

    def train_dataloader(self) -> ResumableLoader:
        opened = self._open("train")
        windows = TrainingWindows(opened.maker, opened.answers)
        return self.train_loader(windows, self._sampler(opened), num_workers=self._given.num_workers)

    def rows_once(self, name: SplitName) -> DataLoader:
        given, opened = self._given, self._open(name)
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
