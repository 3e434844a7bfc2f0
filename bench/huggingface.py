"""What it costs to watch a Hugging Face model, beside transformers' own eager path: time, and memory of long texts."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.clock import Spread, interleave, one_thread, ratio
from bench.report import Cell, Goal, Report
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.hosted import hosted
from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.models.query_key import QueryKey
from engine.models.taps import NO_TAPS, Tap, looking, watching

LENGTHS = (128, 512)
MOST_TIME = 1.05  # times transformers' eager path
LONG, LAYER = 2048, 6
MOST_MEMORY = 0.25  # of one layer, times all of them
SAME = 1e-5  # of maps to transformers' own
IDS = 8000
OURS, EAGER, FUSED, ONE = "Saccade, all maps", "transformers eager, all maps", "Saccade, fused", "Saccade, one layer"
PLAIN, ALL = "no maps", "all maps"
_METHOD = (
    "Random weights; batch 1, float32, one thread. BERT, GPT-2 and Llama have 6 layers, 8 heads (Llama: 2 key heads), "
    "width 512; T5 has 6 + 6 layers and as many source as output tokens. The same model runs both ways; maps differ by "
    "{apart:.0e} at most. CPU milliseconds of one forward; ratios are taken within each of {rounds} interleaved "
    "rounds: median (quartiles). “One layer” is the fused forward with softmax(qk) of its last layer recomputed."
)
_MEMORY = (
    "GPT-2 of 12 layers, 12 heads, width 768 with random weights, {long} tokens, float32, each way in a process of its "
    "own: its peak resident size during the forward over what it was before (Linux)."
)
Model = HostedEncoder | HostedDecoder | HostedSeq2Seq


def watching_time(rounds: int = 7) -> Report:
    """All maps, and one layer recomputed: a few minutes."""
    one_thread()
    times: dict[str, dict[str, list[float]]] = {}
    apart = 0.0
    with torch.inference_mode():
        for name, make in FAMILIES.items():
            model = make()
            for length in LENGTHS:
                ids = torch.randint(4, IDS, (1, length))
                apart = max(apart, difference(model, ids))
                repeats = max(1, 256 // length)
                times[f"{name}, {length} tokens"] = interleave(_cases(model, ids), rounds, repeats=repeats)
    rows: list[dict[str, Cell]] = [
        {
            "model": name,
            **{way: Spread.of(spent).show(1) for way, spent in each.items()},
            "all maps ÷ eager": ratio(each, OURS, EAGER).show(3),
            "one layer ÷ fused": ratio(each, ONE, FUSED).show(3),
        }
        for name, each in times.items()
    ]
    goals = [
        Goal(f"{name}: all maps, times transformers' eager path", ratio(each, OURS, EAGER).median, MOST_TIME)
        for name, each in times.items()
    ]
    goals.append(Goal("Largest difference to transformers' maps", apart, SAME))
    method = _METHOD.format(rounds=rounds, apart=apart)
    return Report("Hugging Face models: time", method, rows, goals, {"milliseconds": times})


def watching_memory() -> Report:
    """One layer recomputed beside all maps, of a long text: two minutes."""
    sizes = {way: peak(way) for way in (PLAIN, ONE, ALL)}
    goal = Goal("One layer recomputed, times the memory of all maps", sizes[ONE] / sizes[ALL], MOST_MEMORY)
    rows: list[dict[str, Cell]] = [{"forward": way, "peak memory, MB": round(size)} for way, size in sizes.items()]
    return Report("Hugging Face models: memory", _MEMORY.format(long=LONG), rows, [goal], {"megabytes": sizes})


# ---- models ----


def _bert() -> Model:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=IDS, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048
    )
    return HostedEncoder(hosted(uneven(BertModel(config)), "encoder", 512), restores=False, segments=False)


def _gpt2(layers: int = 6, heads: int = 8, width: int = 512, context: int = 512) -> HostedDecoder:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=IDS, n_embd=width, n_layer=layers, n_head=heads, n_positions=context, bos_token_id=0, eos_token_id=0
    )
    return HostedDecoder(hosted(uneven(GPT2LMHeadModel(config)), "decoder", context))


def _llama() -> Model:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=IDS, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=2,
        intermediate_size=1408, max_position_embeddings=512,
    )  # fmt: skip
    return HostedDecoder(hosted(uneven(LlamaForCausalLM(config)), "decoder", 512))


def _t5() -> Model:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=IDS, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8)
    return HostedSeq2Seq(hosted(uneven(T5ForConditionalGeneration(config)), "encoder-decoder", 0), 0)


FAMILIES: Mapping[str, Callable[[], Model]] = {"BERT": _bert, "GPT-2": _gpt2, "Llama": _llama, "T5": _t5}


def uneven(model: Any) -> Any:
    """Query and key matrices of trained size: of small ones all weights are near 1/T and any two maps look alike."""
    torch.manual_seed(0)
    names = ("query", "key", "c_attn", "q_proj", "k_proj", ".q.", ".k.")
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and any(one in name for one in names):
            torch.nn.init.normal_(parameter, std=0.06)
    return model


# ---- both ways ----


def _cases(model: Model, ids: torch.Tensor) -> dict[str, Callable[[], object]]:
    taps = watching(NO_TAPS, _buffers(model, ids.shape[1]))
    kind = "encoder" if isinstance(model, HostedEncoder) else "decoder"
    last = {(kind, model.config.layers[kind] - 1): weights_of}
    return {
        OURS: lambda: _forward(model, ids, taps),
        EAGER: lambda: eager(model, ids),
        FUSED: lambda: _forward(model, ids, NO_TAPS),
        ONE: lambda: _forward(model, ids, looking(last)),
    }


def weights_of(seen: QueryKey) -> None:
    """All heads' weights, computed and dropped."""
    seen.weights_into(torch.empty(1, seen.heads, seen.query.shape[2], seen.key.shape[2]))


def _buffers(model: Model, length: int) -> dict[Any, torch.Tensor]:
    shape = model.config
    return {kind: torch.empty(shape.layers[kind], 1, shape.heads[kind], length, length) for kind in shape.layers}


def _forward(model: Model, ids: torch.Tensor, taps: Any) -> torch.Tensor:
    output: torch.Tensor = model(ids, ids, taps) if isinstance(model, HostedSeq2Seq) else model(ids, taps=taps)
    return output


def eager(model: Model, ids: torch.Tensor) -> Any:
    """A forward of transformers on its own eager path, with every map; ours is put back."""
    network, before = model.hosted.model, model.hosted.model.config._attn_implementation
    more = {"decoder_input_ids": ids} if isinstance(model, HostedSeq2Seq) else {}
    cache = {} if isinstance(model, HostedEncoder) else {"use_cache": False}
    network.set_attn_implementation("eager")
    try:
        return network(input_ids=ids, output_attentions=True, **more, **cache)
    finally:
        network.set_attn_implementation(before)


def difference(model: Model, ids: torch.Tensor) -> float:
    """The largest difference of any weight to transformers' own."""
    buffers = _buffers(model, ids.shape[1])
    _forward(model, ids, watching(NO_TAPS, buffers))
    found = eager(model, ids)
    two = isinstance(model, HostedSeq2Seq)
    theirs = {
        "encoder": found.encoder_attentions if two else found.attentions,
        "decoder": found.decoder_attentions if two else found.attentions,
        "cross": found.cross_attentions if two else (),
    }
    return max(
        float((buffer[index] - theirs[kind][index]).abs().max())
        for kind, buffer in buffers.items()
        for index in range(len(buffer))
    )


# ---- memory ----


def peak(way: str) -> float:
    """Megabytes by which a process grows while a long text is read one way."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_grow, (way,))


def _grow(way: str) -> float:
    torch.set_num_threads(1)
    with torch.inference_mode():
        model = _gpt2(12, 12, 768, LONG)
        ids = torch.randint(4, IDS, (1, LONG))
        model(ids[:, :16])  # what a first forward sets up
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = _kilobytes("VmRSS")
        if way == ALL:
            model.forward_with_maps(ids)
        else:
            model(ids, {("decoder", LAYER): Tap(look=weights_of)} if way == ONE else NO_TAPS)
    return (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(name: str) -> int:
    """A size that Linux keeps of this process: what is resident now, or its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
