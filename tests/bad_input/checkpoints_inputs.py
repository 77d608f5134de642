"""Checkpoints that do not fit the settings, lack a part, or are cut off; and saved modules likewise."""

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lhy_lightning import DANN, BertQuestionAnswering, CodePrior, ImageClassifier, Translator
from lhy_lightning.gan.evaluation import feature_network
from tests.bad_input.case import BadInput, command, text

Edit = Callable[[dict[str, Any]], object]


@cache
def trained() -> dict[str, bytes]:
    """The files of a run of one step, made once."""
    with tempfile.TemporaryDirectory() as root:
        command(
            "fit", "--config", "quickstart", "--model.width", "8", "--trainer.max_steps", "1",
            "--trainer.limit_val_batches", "0", "--evaluate", "false", "--name", "a",
            "--trainer.default_root_dir", root,
        )(Path(root))  # fmt: skip
        run = Path(root) / "a"
        return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def run(edit: Edit = lambda checkpoint: None) -> Callable[[Path], None]:
    """The run folder `runs/a`, its checkpoint edited."""

    def make(folder: Path) -> None:
        for name, content in trained().items():
            text(f"runs/a/{name}", content)(folder)
        path = folder / "runs/a/checkpoints/last.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        edit(checkpoint)
        torch.save(checkpoint, path)

    return make


def saved(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A folder `saved` that `save_pretrained` wrote, one of its files changed."""

    def make(folder: Path) -> None:
        ImageClassifier(num_classes=2, image_size=(8, 8), channels=1, network="vgg", depth=3, width=4).save_pretrained(
            folder / "saved"
        )
        path = folder / "saved" / name
        path.write_bytes(change(path.read_bytes()))

    return make


def without_tensor(content: bytes) -> bytes:
    from safetensors.torch import load, save

    tensors = load(content)
    tensors.pop(next(name for name in sorted(tensors) if name.endswith("weight")))
    return save(tensors)


def other_width(content: bytes) -> bytes:
    return json.dumps(json.loads(content) | {"width": 6}).encode()


GO_ON = ("fit", "--ckpt_path", "runs/a/checkpoints/last.ckpt")
TEST = ("test", "--ckpt_path", "runs/a/checkpoints/last.ckpt")
FIRST = next(iter(ImageClassifier(num_classes=10, image_size=(8, 8), channels=1, network="vgg").state_dict()))

INPUTS = [
    *[
        BadInput(f"`lhy {arguments[0]}` with {what}", run(), command(*arguments, *flags), says, kind="checkpoints")
        for arguments, what, flags, says in [
            (GO_ON, "another width than the checkpoint's", ("--model.width", "48"),
             r"width=48 \(8 so far\): network\.\S+ is of shape \(8, .*here\. Leave what was so far"),
            (TEST, "another depth", ("--model.depth", "7"), r"depth=7 \(\d so far\): .*Leave what was so far"),
            (GO_ON, "a norm that has no weights", ("--model.norm", "none"), "norm='none'.*'batch' so far.*Leave what"),
        ]
    ],
    *[
        BadInput(f"a checkpoint {what}", run(edit), command(*GO_ON), says, kind="checkpoints")
        for what, edit, says in [
            ("without a tensor", lambda c: c["state_dict"].popitem(),
             r"the checkpoint lacks network\.\S+: the checkpoint is damaged"),
            ("with a tensor of another shape",
             lambda c: c["state_dict"].update({n: v[:1] for n, v in c["state_dict"].items() if v.dim() == 4}),
             r"is of shape \(1, .* in the checkpoint and of shape .*damaged"),
            ("with a text for a tensor", lambda c: c["state_dict"].update(dict.fromkeys(c["state_dict"], "x")),
             "is no tensor in the checkpoint"),
            ("without weights", lambda c: c["state_dict"].clear(), r"lacks network\.\S+ and \d+ more"),
            ("without its step", lambda c: c.pop("global_step"), "last.ckpt lacks global_step, so no training"),
            ("of weights alone", lambda c: [c.pop(n) for n in ("optimizer_states", "lr_schedulers", "loops")],
             "lacks loops, optimizer_states, lr_schedulers, so no training goes on from it: take the run's last.ckpt"),
            ("without a state_dict", lambda c: c.pop("state_dict"), "is no Lightning checkpoint"),
        ]
    ],
    BadInput("a tensor that lacks, to test by", run(lambda c: c["state_dict"].popitem()), command(*TEST),
             r"the checkpoint lacks network\.", kind="checkpoints"),
    BadInput("a checkpoint tested by another topic's recipe", run(), command(*TEST, "--config", "hw05/strong"),
             "asks for Translator|asks for", kind="checkpoints"),
    BadInput("a translator that starts from a classifier", run(),
             lambda folder: Translator(start_from=str(folder / "runs/a/checkpoints/last.ckpt")),
             "start_from=.* was made by ImageClassifier, not by a Translator", kind="checkpoints"),
    *[
        BadInput(f"a saved module {what}", saved(name, change),
                 lambda folder: ImageClassifier.from_pretrained(str(folder / "saved")), says, kind="checkpoints")
        for what, name, change, says in [
            ("whose weights are cut off", "model.safetensors", lambda c: c[:-99], "cannot be read as safetensors"),
            ("whose weights are empty", "model.safetensors", lambda c: b"", "0 bytes.* cannot be read as"),
            ("whose weights lack a tensor", "model.safetensors", without_tensor, "does not fit config.json|lacks"),
            ("of another width", "config.json", other_width, r"is of shape .* in the checkpoint and of shape"),
            ("whose settings are cut off", "config.json", lambda c: c[:20], r"config.json \(20 bytes\) is no JSON"),
            ("whose settings are a list", "config.json", lambda c: b"[]", "config.json holds a list and no settings"),
        ]
    ],
]  # fmt: skip


def of_a_translator(folder: Path) -> None:
    """What a checkpoint of another topic says of itself; it must be refused before more is read."""
    torch.save(
        {"class_path": "lhy_lightning.seq2seq.translator.Translator", "state_dict": {}, "hyper_parameters": {}},
        folder / "other.ckpt",
    )


ASKED_FOR: dict[str, Callable[[Path], object]] = {
    "features of a GAN": lambda path: feature_network(str(path)),
    "the VQVAE of a prior": lambda path: CodePrior(vqvae=str(path)),
    "an ensemble of classifiers": lambda path: ImageClassifier.ensemble([path, path]),
    "an ensemble that answers questions": lambda path: BertQuestionAnswering.ensemble([path, path]),
    "DANN's start_from": lambda path: DANN(num_classes=2, image_size=32, channels=3).load_initial_weights(str(path)),
    "a classifier loaded by its class": lambda path: ImageClassifier.load_from_checkpoint(path),
}

INPUTS += [
    BadInput(
        f"a Translator's checkpoint for {what}",
        of_a_translator,
        lambda folder, ask=ask: ask(folder / "other.ckpt"),  # type: ignore[misc]
        r"other\.ckpt.*(Translator|no weights of the shape|no whole Lightning)",
        kind="checkpoints",
    )
    for what, ask in ASKED_FOR.items()
]
