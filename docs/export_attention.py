"""The attention of a transformers model as a file that Saccade opens: paste it into the notebook that has the model."""

import json

import numpy as np


def export_attention(path, model, tokenizer, text, target=None):
    """Write every attention map of one text.

    Args:
        path: of the NPZ file.
        model: encoder-only, decoder-only, or encoder-decoder.
        tokenizer: its own.
        text: what it reads.
        target: of an encoder-decoder, the output; None for what the model itself writes.
    """
    model.eval()  # no dropout
    model.set_attn_implementation("eager")  # fused attention has no maps to give
    inputs = tokenizer(text, return_tensors="pt").to(model.device)
    source = inputs["input_ids"]

    def maps(layers):  # one tensor (batch, head, query, key) for each layer
        return np.stack([layer[0].detach().float().cpu().numpy() for layer in layers])

    def tokens(ids):
        return tokenizer.convert_ids_to_tokens(ids.tolist())

    def logprobs(logits, ids):
        return logits.detach().float().log_softmax(-1).gather(-1, ids[:, None])[:, 0].tolist()

    about = {"title": text, "special": tokenizer.all_special_tokens}
    if model.config.is_encoder_decoder:
        if target is None:
            written = model.generate(**inputs, max_new_tokens=100)
        else:
            labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"].to(model.device)
            written = labels.new_full((1, labels.shape[1] + 1), model.config.decoder_start_token_id)
            written[:, 1:] = labels
        read, predicted = written[:, :-1], written[0, 1:]
        out = model(**inputs, decoder_input_ids=read, output_attentions=True)
        arrays = {
            "encoder": maps(out.encoder_attentions),
            "decoder": maps(out.decoder_attentions),
            "cross": maps(out.cross_attentions),
        }
        about |= {"source": tokens(source[0]), "target": tokens(read[0]), "predicted": tokens(predicted)}
        about["logprobs"] = logprobs(out.logits[0], predicted)
    else:
        out = model(**inputs, output_attentions=True)
        weights = maps(out.attentions)
        causal = not np.triu(weights, 1).any()
        arrays = {"decoder" if causal else "encoder": weights}
        about["tokens"] = tokens(source[0])
        if causal and "logits" in out:
            best = out.logits[0, -1:].argmax(-1)  # after the last token: what the model would write
            predicted = source.new_tensor([*source[0, 1:].tolist(), *best.tolist()])
            about |= {"predicted": tokens(predicted), "logprobs": logprobs(out.logits[0], predicted)}
    np.savez_compressed(path, json=np.array(json.dumps(about)), **arrays)
