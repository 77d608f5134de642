"""What is left of the digits after `vqvae/quickstart`: error at the bits of its file, and how well they can be read.

    lhy fit --config vqvae/quickstart
    python -m benchmarks.autoencoders.vqvae_digits runs/vqvae/quickstart/checkpoints/best.ckpt

Bits a pixel, PSNR, SSIM and squared error of the test digits' file, beside principal components and JPEG of no more
bits; and the accuracy of a logistic regression trained on real digits, on real test digits and on what came back.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from sklearn.linear_model import LogisticRegression

from lhy_lightning import VQVAE, ImageDataModule
from lhy_lightning.autoencoders.rate_distortion import compare_compression


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    options = parser.parse_args(arguments)
    model = VQVAE.load_from_checkpoint(options.checkpoint).eval()
    data = ImageDataModule(source="embedded:digits")
    data.setup("fit")
    data.setup("test")
    pictures = {name: torch.cat(list(data.pictures(name))) for name in ("train", "test")}  # type: ignore[arg-type]
    rates, back = compare_compression(model, pictures["train"], pictures["test"])
    print("| kept as | bits a pixel | PSNR | SSIM | squared error |\n|---|---:|---:|---:|---:|")
    for rate in rates:
        print(f"| {rate.name} | {rate.bits_per_pixel:.2f} | {rate.psnr:.2f} | {rate.ssim:.3f} | {rate.mse:.4f} |")
    labels = torch.cat([batch["label"] for batch in data.test_dataloader()]).numpy()
    # batches of training are in an order of their own: labels and pictures have to come from the same ones
    seen = [(batch["image"], batch["label"]) for batch in data.train_dataloader()]
    images, names = (torch.cat(parts) for parts in zip(*seen, strict=True))
    reader = LogisticRegression(C=0.1, max_iter=5000).fit(images.flatten(1).float().numpy() / 127.5 - 1, names.numpy())
    real, rebuilt = (reader.score(each.flatten(1).numpy(), labels) for each in (pictures["test"], back))
    print(f"\nread right by a logistic regression: {real:.4f} of real digits, {rebuilt:.4f} of what came back")
    return {"real": float(real), "rebuilt": float(rebuilt), **{rate.name: rate.mse for rate in rates}}


if __name__ == "__main__":
    main()
