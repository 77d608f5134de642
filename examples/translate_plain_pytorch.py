"""Transformer, loss and beam search of the package in a plain PyTorch loop: no Trainer, no module of ours.

python examples/translate_plain_pytorch.py
"""

import torch

from lhy_lightning import (
    Transformer,
    TranslationDataModule,
    TranslationNetwork,
    beam_search,
    build_optimizer,
    build_schedule,
    parameter_groups,
    projected_cross_entropy,
)


def main(steps: int = 800) -> tuple[float, list[tuple[str, str]]]:
    """Trains for so many steps. Returns the last loss a token, and some test sentences with their translations."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = TranslationDataModule("embedded:cldr", tokenizer="character", vocab_size=500, max_tokens=2048)
    data.setup("fit")
    body = Transformer(
        len(data.source_tokenizer), len(data.target_tokenizer), layers=2, width=128, heads=4, feedforward=512,
        norm="pre", share_embeddings="decoder",
    ).to(device)  # fmt: skip
    optimizer = build_optimizer(parameter_groups(body, lr=2e-3, weight_decay=0.0), "adam", lr=2e-3, betas=(0.9, 0.98))
    schedule = build_schedule(optimizer, "cosine", total_steps=steps, warmup_steps=100)
    loader, step, mean = data.train_dataloader(), 0, 0.0
    while step < steps:
        loader.sampler.set_epoch(step // len(loader))  # another order every epoch
        for batch in loader:
            source, target = batch["source_ids"].to(device), batch["target_ids"].to(device)
            inputs, gold = target[:, :-1], target[:, 1:]
            states = body.decode(inputs, body.encode(source)).states[gold != 0]  # no logits for padding
            loss, _ = projected_cross_entropy(states, *body.output_layer(), gold[gold != 0])
            (loss / len(states)).backward()
            torch.nn.utils.clip_grad_norm_(body.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            mean, step = loss.item() / len(states), step + 1
            if step == steps:
                break

    data.setup("test")
    network, sources = TranslationNetwork(body.eval()), data.sources("test")
    batch = next(iter(data.test_dataloader()))
    found = beam_search(network, network.encode(batch["source_ids"].to(device)), beam=5, max_length=40)
    rows = zip(batch["index"].tolist(), found, strict=True)
    return mean, [(sources[row], data.target_tokenizer.decode(best[0].ids)) for row, best in rows][:5]


if __name__ == "__main__":
    loss, translations = main()
    print(f"loss a token {loss:.4f}", *(f"{source} → {text}" for source, text in translations), sep="\n")
