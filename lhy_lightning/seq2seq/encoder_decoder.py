"""The arguments that an encoder-decoder is built from and optimized by."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypedDict

from torch import nn

from lhy_lightning.core.arguments.ranges import COUNT, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.seq2seq.networks import TranslationNetwork, build_body
from lhy_lightning.training.single_optimizer import SingleOptimizerModule

Network = Literal["transformer", "gru"]
Norm = Literal["post", "pre"]
Activation = Literal["relu", "gelu", "silu", "swiglu"]
Positions = Literal["sinusoidal", "learned", "rotary"]
RecurrentAttention = Literal["homework", "general", "additive", "location", "monotonic"]
Sharing = Literal["all", "decoder", "none"]
Schedule = Literal["constant", "cosine", "linear", "inverse_sqrt", "noam"]


class UnchangedArguments(TypedDict, total=False):
    """Arguments of `SingleOptimizerModule` that have its defaults."""

    optimizer: str
    lr: float
    weight_decay: float
    final_lr_factor: float


class EncoderDecoderArguments(UnchangedArguments, total=False):
    """Arguments of `EncoderDecoderModule`, for the `**arguments` of those built on it."""

    network: Network
    layers: int
    width: int
    heads: int
    feedforward: int
    embedding: int
    dropout: float
    norm: Norm
    activation: Activation
    positions: Positions
    rnn_attention: RecurrentAttention
    share_embeddings: Sharing | None
    betas: tuple[float, float]
    schedule: Schedule
    warmup_steps: int


class EncoderDecoderModule(SingleOptimizerModule):
    """Base of modules that train an encoder-decoder between two vocabularies, which a subclass finds.

    Args:
        network: "transformer" or "gru" (the homework's recurrent network with attention).
        layers: layers of encoder and of decoder.
        width: features of a Transformer's layer, or of a GRU's state.
        heads: attention heads of the Transformer.
        feedforward: features inside the Transformer's feed-forward layers.
        embedding: features of the GRU's word vectors.
        dropout: share of the features set to zero in training.
        norm: layer norms after ("post", the paper's) or before ("pre") each sublayer.
        activation: "relu", "gelu", "silu" or "swiglu".
        positions: "sinusoidal", "learned" or "rotary".
        rnn_attention: of the GRU: "homework", "general", "additive", "location" or "monotonic".
        share_embeddings: "all" (source, target and output), "decoder" (target and output) or "none"; None for "all"
            where the vocabulary is joint and "decoder" where it is not.
        betas: coefficients (β₁, β₂) of Adam-type optimizers.
        schedule: "inverse_sqrt", "noam", "cosine", "linear" or "constant"; with "noam" `lr` is the factor before
            width^-0.5 (of a GRU: embedding^-0.5), the homework's is 2.
        warmup_steps: steps in which the learning rate rises.
        arguments: those of `SingleOptimizerModule`.

    Raises:
        ValueError: a name that does not exist.
    """

    argument_ranges = ranges(embedding=COUNT)
    no_network = "there is no network yet: fit first, or load a checkpoint."

    network: TranslationNetwork | None
    source_vocabulary: TextTokenizer
    target_vocabulary: TextTokenizer

    def __init__(
        self,
        *,
        network: Network = "transformer",
        layers: int = 3,
        width: int = 256,
        heads: int = 4,
        feedforward: int = 1024,
        embedding: int = 256,
        dropout: float = 0.1,
        norm: Norm = "pre",
        activation: Activation = "relu",
        positions: Positions = "sinusoidal",
        rnn_attention: RecurrentAttention = "homework",
        share_embeddings: Sharing | None = None,
        betas: tuple[float, float] = (0.9, 0.98),
        schedule: Schedule = "inverse_sqrt",
        warmup_steps: int = 1000,
        **arguments: Unpack[UnchangedArguments],
    ) -> None:
        super().__init__(betas=betas, warmup_steps=warmup_steps, **arguments)
        self.schedule_settings = replace(self.schedule_settings, schedule=schedule)
        if schedule == "noam":
            size = embedding if network == "gru" else width
            self.optimizer_settings = replace(self.optimizer_settings, lr=self.optimizer_settings.lr * size**-0.5)
        self.network_name = network
        self.network = None

    def build_network(self) -> nn.Module:
        """Returns the encoder-decoder, a `Seq2SeqBody`. Override it to train one of your own.

        `self.source_vocabulary` and `self.target_vocabulary` are known when it is called.
        """
        sizes = (len(self.source_vocabulary), len(self.target_vocabulary))
        return build_body(*sizes, joint=self.source_vocabulary is self.target_vocabulary, **self.hparams)

    @property
    def translation_network(self) -> TranslationNetwork:
        """The network, once it is there."""
        network: TranslationNetwork = self.built()
        return network
