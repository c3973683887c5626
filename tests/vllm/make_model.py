"""Write a tiny random model, its tokenizer and a LoRA adapter: make_model.py MODEL_FOLDER ADAPTER_FOLDER.

Run with the Python that has vLLM, which brings torch, transformers and tokenizers.  Nothing is downloaded: the
tokenizer is trained on the standard library's sources.
"""

import json
import sys
import sysconfig
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS, WIDTH, LAYERS, HEADS, KV_HEADS, LONGEST = 2048, 128, 2, 4, 2, 16384
RANK = 8
END = "<|end|>"
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with the template's marks as tokens of their own."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:150]
    marks = [END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=marks, show_progress=False, initial_alphabet=alphabet
    )
    bpe.train([str(source) for source in sources], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END, model_max_length=LONGEST)
    fast.chat_template = TEMPLATE
    return fast


def model() -> LlamaForCausalLM:
    """A Llama with random weights, 1.3 MB."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=WIDTH // HEADS,
        max_position_embeddings=LONGEST, bos_token_id=None, eos_token_id=0, pad_token_id=0, tie_word_embeddings=True,
        initializer_range=0.2, dtype="bfloat16",
    )  # fmt: skip
    return LlamaForCausalLM(config).to(torch.bfloat16)


def write_adapter(folder: Path, base: Path) -> None:
    """A random adapter in the format of peft."""
    random = torch.Generator().manual_seed(1)
    weights = {}
    for layer in range(LAYERS):
        for part, size in (("q_proj", WIDTH), ("v_proj", WIDTH // HEADS * KV_HEADS)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            weights[f"{name}.lora_A.weight"] = torch.randn(RANK, WIDTH, generator=random)
            weights[f"{name}.lora_B.weight"] = torch.randn(size, RANK, generator=random)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "adapter_model.safetensors")
    described = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": RANK,
        "lora_alpha": 16, "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "v_proj"],
        "modules_to_save": None, "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(described))


if __name__ == "__main__":
    model_folder, adapter_folder = map(Path, sys.argv[1:])
    tokenizer().save_pretrained(model_folder)
    model().save_pretrained(model_folder)
    write_adapter(adapter_folder, model_folder)
