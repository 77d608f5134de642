"""The deep learning topics of Hung-yi Lee's course in PyTorch Lightning.

Public names are loaded when they are first used (PEP 562), so that `import lhy_lightning` imports neither torch nor
Lightning and `lhy --help` answers at once. A new public name is one line in `_PUBLIC` and one in the TYPE_CHECKING
block, where type checkers and editors look.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lhy_lightning.adaptation.cdan import CDAN
    from lhy_lightning.adaptation.dann import DANN
    from lhy_lightning.adaptation.dirt_t import DIRTT
    from lhy_lightning.adaptation.generalization import DomainGeneralization
    from lhy_lightning.adaptation.mcc import MCC
    from lhy_lightning.adaptation.mcd import MCD
    from lhy_lightning.adaptation.moment_matching import MomentMatching
    from lhy_lightning.adaptation.source_only import SourceOnly
    from lhy_lightning.adaptation.vada import VADA
    from lhy_lightning.autoencoders.anomaly_detector import AnomalyDetector
    from lhy_lightning.autoencoders.autoencoder import AutoEncoder
    from lhy_lightning.autoencoders.prior import CodePrior
    from lhy_lightning.autoencoders.vqvae import VQVAE
    from lhy_lightning.bert.classifier import BertClassifier
    from lhy_lightning.bert.question_answering import BertQuestionAnswering
    from lhy_lightning.bert.tagger import BertTagger
    from lhy_lightning.cnn.classifier import ImageClassifier
    from lhy_lightning.cnn.fixmatch import FixMatchClassifier
    from lhy_lightning.cnn.pseudo_labels import PseudoLabelClassifier
    from lhy_lightning.data.anomalies import AnomalyDataModule
    from lhy_lightning.data.domains import DomainDataModule
    from lhy_lightning.data.image_pairs import PairedImageDataModule
    from lhy_lightning.data.images import ImageDataModule
    from lhy_lightning.data.question_answering import QuestionAnsweringDataModule
    from lhy_lightning.data.tagging import TaggingDataModule
    from lhy_lightning.data.text import TextDataModule
    from lhy_lightning.data.translation import TranslationDataModule
    from lhy_lightning.data.unpaired_images import UnpairedImageDataModule
    from lhy_lightning.gan.cyclegan import CycleGAN
    from lhy_lightning.gan.gan import GAN
    from lhy_lightning.gan.pix2pix import Pix2Pix
    from lhy_lightning.gan.wgan import SNGAN, WGAN, WGANGP
    from lhy_lightning.seq2seq.bleu_training import BleuTranslator
    from lhy_lightning.seq2seq.exposure import ScheduledSamplingTranslator
    from lhy_lightning.seq2seq.translator import Translator

__version__ = "0.1.0"

__all__ = [
    "CDAN",
    "DANN",
    "DIRTT",
    "GAN",
    "MCC",
    "MCD",
    "SNGAN",
    "VADA",
    "VQVAE",
    "WGAN",
    "WGANGP",
    "AnomalyDataModule",
    "AnomalyDetector",
    "AutoEncoder",
    "BertClassifier",
    "BertQuestionAnswering",
    "BertTagger",
    "BleuTranslator",
    "CodePrior",
    "CycleGAN",
    "DomainDataModule",
    "DomainGeneralization",
    "FixMatchClassifier",
    "ImageClassifier",
    "ImageDataModule",
    "MomentMatching",
    "PairedImageDataModule",
    "Pix2Pix",
    "PseudoLabelClassifier",
    "QuestionAnsweringDataModule",
    "ScheduledSamplingTranslator",
    "SourceOnly",
    "TaggingDataModule",
    "TextDataModule",
    "TranslationDataModule",
    "Translator",
    "UnpairedImageDataModule",
]

_PUBLIC = {
    "CDAN": "lhy_lightning.adaptation.cdan",
    "DANN": "lhy_lightning.adaptation.dann",
    "DIRTT": "lhy_lightning.adaptation.dirt_t",
    "GAN": "lhy_lightning.gan.gan",
    "MCC": "lhy_lightning.adaptation.mcc",
    "MCD": "lhy_lightning.adaptation.mcd",
    "SNGAN": "lhy_lightning.gan.wgan",
    "VADA": "lhy_lightning.adaptation.vada",
    "VQVAE": "lhy_lightning.autoencoders.vqvae",
    "WGAN": "lhy_lightning.gan.wgan",
    "WGANGP": "lhy_lightning.gan.wgan",
    "AnomalyDataModule": "lhy_lightning.data.anomalies",
    "AnomalyDetector": "lhy_lightning.autoencoders.anomaly_detector",
    "AutoEncoder": "lhy_lightning.autoencoders.autoencoder",
    "BertClassifier": "lhy_lightning.bert.classifier",
    "BertQuestionAnswering": "lhy_lightning.bert.question_answering",
    "BertTagger": "lhy_lightning.bert.tagger",
    "BleuTranslator": "lhy_lightning.seq2seq.bleu_training",
    "CodePrior": "lhy_lightning.autoencoders.prior",
    "CycleGAN": "lhy_lightning.gan.cyclegan",
    "DomainDataModule": "lhy_lightning.data.domains",
    "DomainGeneralization": "lhy_lightning.adaptation.generalization",
    "FixMatchClassifier": "lhy_lightning.cnn.fixmatch",
    "ImageClassifier": "lhy_lightning.cnn.classifier",
    "ImageDataModule": "lhy_lightning.data.images",
    "MomentMatching": "lhy_lightning.adaptation.moment_matching",
    "PairedImageDataModule": "lhy_lightning.data.image_pairs",
    "Pix2Pix": "lhy_lightning.gan.pix2pix",
    "PseudoLabelClassifier": "lhy_lightning.cnn.pseudo_labels",
    "QuestionAnsweringDataModule": "lhy_lightning.data.question_answering",
    "ScheduledSamplingTranslator": "lhy_lightning.seq2seq.exposure",
    "SourceOnly": "lhy_lightning.adaptation.source_only",
    "TaggingDataModule": "lhy_lightning.data.tagging",
    "TextDataModule": "lhy_lightning.data.text",
    "TranslationDataModule": "lhy_lightning.data.translation",
    "Translator": "lhy_lightning.seq2seq.translator",
    "UnpairedImageDataModule": "lhy_lightning.data.unpaired_images",
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
