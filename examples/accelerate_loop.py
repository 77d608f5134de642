"""The same networks under Hugging Face Accelerate, on one process or several.

accelerate launch examples/accelerate_loop.py
"""

import torch
from accelerate import Accelerator

from lhy_lightning import ImageDataModule, ResNet, build_optimizer, build_schedule, cross_entropy, parameter_groups


def main(steps: int = 200) -> float:
    """Trains for so many steps. Returns the accuracy on the test digits, over all processes."""
    torch.manual_seed(0)
    accelerator = Accelerator()
    data = ImageDataModule("embedded:digits", batch_size=64, crop=1)
    data.setup("fit")
    network = ResNet(data.num_classes, channels=data.channels, image_size=data.image_size, depth=8, norm="group")
    optimizer = build_optimizer(parameter_groups(network, lr=2e-3, weight_decay=0.05), "adamw")
    network, optimizer = accelerator.prepare(network, optimizer)
    # the loaders are not prepared: their samplers share the rows out to the processes themselves
    schedule = build_schedule(optimizer.optimizer, "cosine", total_steps=steps)

    loader, step = data.train_dataloader(), 0
    while step < steps:
        loader.sampler.set_epoch(step // len(loader))
        for host_batch in loader:
            batch = {name: value.to(accelerator.device) for name, value in host_batch.items()}
            batch = data.prepare_batch(batch, training=True)
            loss = cross_entropy(network(batch["image"]), batch["label"])
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            schedule.step()
            step += 1
            if step == steps:
                break

    network.eval()
    counts = torch.zeros(2, device=accelerator.device)  # right, all
    with torch.inference_mode():
        for host_batch in data.test_dataloader():
            batch = {name: value.to(accelerator.device) for name, value in host_batch.items()}
            batch = data.prepare_batch(batch, training=False)
            right = network(batch["image"]).argmax(1) == batch["label"]
            counts += torch.stack((right.sum(), torch.tensor(len(right), device=right.device)))
    right, total = accelerator.reduce(counts).tolist()
    return right / total


if __name__ == "__main__":
    print(f"test accuracy {main():.4f}")
