"""A classifier in ten lines: train on handwritten digits, test, and name a picture.

python examples/ten_lines.py
"""

from lightning.pytorch import Trainer

from lhy_lightning import ImageClassifier, ImageDataModule


def main(**trainer_settings: object) -> list[tuple[str, float]]:
    """Returns (class name, probability) of three test pictures."""
    data = ImageDataModule("embedded:digits", batch_size=64)
    model = ImageClassifier(network="vgg", depth=4, width=32, lr=0.05)
    trainer = Trainer(**{"max_epochs": 10, **trainer_settings})  # type: ignore[arg-type]
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data)
    batch = data.prepare_batch(next(iter(data.test_dataloader())), training=False)
    return model.classify(batch["image"][:3])


if __name__ == "__main__":
    print(main())
