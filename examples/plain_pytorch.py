"""Networks, losses and optimizers of the package in a plain PyTorch loop: no Trainer, no module of ours.

python examples/plain_pytorch.py
"""

import torch

from lhy_lightning import (
    VGG,
    AveragedWeights,
    ImageDataModule,
    build_optimizer,
    build_schedule,
    cross_entropy,
    parameter_groups,
)


def main(steps: int = 400) -> float:
    """Trains for so many steps. Returns the accuracy of the averaged weights on the test digits."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = ImageDataModule("embedded:digits", batch_size=64, crop=1)
    data.setup("fit")
    network = VGG(data.num_classes, channels=data.channels, image_size=data.image_size, depth=4, width=32).to(device)
    averaged = AveragedWeights(network, decay=0.99)
    groups = parameter_groups(network, lr=0.05, weight_decay=5e-4)
    optimizer = build_optimizer(groups, "nesterov", lr=0.05)
    schedule = build_schedule(optimizer, "cosine", total_steps=steps, warmup_steps=20)

    loader, step = data.train_dataloader(), 0
    while step < steps:
        loader.sampler.set_epoch(step // len(loader))  # another order every epoch
        for host_batch in loader:
            batch = {name: value.to(device) for name, value in host_batch.items()}
            batch = data.prepare_batch(batch, training=True)  # augments on the device
            loss = cross_entropy(network(batch["image"]), batch["label"], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            averaged.update(network)
            step += 1
            if step == steps:
                break

    right = total = 0
    with torch.inference_mode():
        for host_batch in data.test_dataloader():
            batch = {name: value.to(device) for name, value in host_batch.items()}
            batch = data.prepare_batch(batch, training=False)
            right += int((averaged(batch["image"]).argmax(1) == batch["label"]).sum())
            total += len(batch["label"])
    return right / total


if __name__ == "__main__":
    print(f"test accuracy {main():.4f}")
