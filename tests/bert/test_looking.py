"""Looking inside: attention is there although training runs on SDPA; vectors of one word in different sentences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from lhy_lightning.bert.attention_maps import attention_maps, attention_of, encoded, word_similarity, word_vectors
from lhy_lightning.bert.classifier import BertClassifier
from lhy_lightning.bert.plots import attention_figure
from lhy_lightning.callbacks.images import figure_to_array
from lhy_lightning.data.labelled_texts.text_data import TextDataModule
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from tests.bert.texts import TINY, trainer, write_texts

TEXTS = ["猫坐在垫子上", "服务很好，垫子干净。", "the cat sat"]


@pytest.fixture(params=["sdpa", "lora"])
def module(request: pytest.FixtureRequest, tokenizer: EncoderTokenizer) -> BertClassifier:
    seed_everything(0, verbose=False)
    rank = 2 if request.param == "lora" else 0
    settings = {**TINY, "layers": 3, "dropout": 0.1}
    return BertClassifier(
        tokenizer=tokenizer.to_json(), class_names=("a", "b"), max_length=32, lora_rank=rank, **settings
    ).train()


def test_attention_is_not_empty_adds_up_to_one_and_leaves_the_network_as_it_was(module: BertClassifier) -> None:
    assert module.network.config._attn_implementation == "sdpa"
    maps, tokens = attention_of(module, TEXTS[0], "the cat")
    assert maps.shape == (3, 2, len(tokens), len(tokens))
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 2, len(tokens)))
    assert maps.std() > 0
    assert tokens[:4] == ["[CLS]", "猫", "坐", "在"]
    assert module.network.config._attn_implementation == "sdpa"
    assert module.network.training
    assert torch.equal(attention_of(module, TEXTS[0], "the cat")[0], maps)  # no dropout while looking


def test_eager_attention_says_what_sdpa_computes(module: BertClassifier) -> None:
    batch, _ = encoded(module, TEXTS[1])
    module.eval()
    with torch.no_grad():
        fast = module(**batch)
    attention_maps(module.network, batch)
    module.network.get_base_model().set_attn_implementation("eager") if hasattr(
        module.network, "get_base_model"
    ) else module.network.set_attn_implementation("eager")
    with torch.no_grad():
        torch.testing.assert_close(module(**batch), fast)


def test_a_network_that_tells_nothing_is_an_error(module: BertClassifier) -> None:
    class Silent(torch.nn.Module):
        config = type("Config", (), {"_attn_implementation": "eager"})()

        def forward(self, **inputs: object) -> object:
            return type("Output", (), {"attentions": None})()

    with pytest.raises(RuntimeError, match="Silent returns no attention weights"):
        attention_maps(Silent(), {})


def test_a_words_vector_is_the_mean_of_its_pieces(module: BertClassifier) -> None:
    batch, tokens = encoded(module, TEXTS[0])
    first = tokens.index("垫")
    module.eval()
    with torch.no_grad():
        states = module.network(**batch, output_hidden_states=True).hidden_states[-1][0]
    found = word_vectors(module, "垫子", [TEXTS[0]])
    torch.testing.assert_close(found[0], states[first : first + 2].mean(0), atol=1e-5, rtol=1e-4)


def test_a_word_is_alike_itself_and_another_in_another_sentence(module: BertClassifier) -> None:
    alike = word_similarity(module, "垫子", [TEXTS[0], TEXTS[1], TEXTS[0]])
    torch.testing.assert_close(alike.diagonal(), torch.ones(3))
    torch.testing.assert_close(alike, alike.T)
    assert alike[0, 2] == pytest.approx(1, abs=1e-5)
    assert alike[0, 1] < 0.9999
    with pytest.raises(ValueError, match=r"the word '垫子' is not in 'the cat sat'"):
        word_similarity(module, "垫子", TEXTS)
    with pytest.raises(ValueError, match="lies behind the 32 tokens"):
        word_vectors(module, "猫", ["坐" * 60 + "猫"])


def test_a_run_leaves_a_picture_of_attention_that_is_not_empty(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "texts", train=32)
    seed_everything(0, verbose=False)
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.loggers = [CSVLogger(tmp_path, name="", version="run")]
    module = BertClassifier(**TINY)
    fitting.fit(module, TextDataModule(str(folder)))
    pixels = np.asarray(Image.open(tmp_path / "run/samples/attention.png"))
    assert pixels.std() > 10
    assert module.network.config._attn_implementation == "sdpa"


def test_a_heat_map_shows_who_looks_at_whom() -> None:
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 0, 3] = 1.0  # the first token looks at the last
    figure = attention_figure(maps, list("abcd"), [2])
    (axis,) = figure.axes
    assert axis.get_title() == "layer 2, head 1"
    assert [label.get_text() for label in axis.get_yticklabels()] == list("abcd")
    shown = axis.get_images()[0].get_array()
    assert shown is not None
    assert shown[0, 3] == 1
    assert figure_to_array(figure).std() > 0
