"""The model vendors that v0.7.0 knows by name: address, chat model, and the key's variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Vendor:
    """What holds for a vendor when the operator says nothing else."""

    name: str
    base_url: str | None
    chat_model: str
    key_env: tuple[str, ...] = ()


OPENAI_COMPATIBLE: Final = "openai-compatible"
LOCAL: Final = "local"
"""The model in this process; for embeddings only."""

_VENDORS: Final = (
    Vendor("ollama", "http://localhost:11434", "gemma3:4b"),
    Vendor("openai", "https://api.openai.com/v1", "gpt-5", ("OPENAI_API_KEY",)),
    Vendor("xai", "https://api.x.ai/v1", "grok-4.3", ("XAI_API_KEY",)),
    Vendor("anthropic", "https://api.anthropic.com/v1", "claude-opus-4.7", ("ANTHROPIC_API_KEY",)),
    Vendor(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "gemini-2.0-flash",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    Vendor("deepseek", "https://api.deepseek.com/v1", "deepseek-chat", ("DEEPSEEK_API_KEY",)),
    Vendor(
        "moonshot",
        "https://api.moonshot.cn/v1",
        "moonshot-v1-8k",
        ("MOONSHOT_API_KEY", "KIMI_API_KEY"),
    ),
    Vendor(
        "dashscope",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "qwen-max",
        ("DASHSCOPE_API_KEY", "QWEN_API_KEY"),
    ),
    Vendor("mistral", "https://api.mistral.ai/v1", "mistral-large-latest", ("MISTRAL_API_KEY",)),
    Vendor("groq", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", ("GROQ_API_KEY",)),
    Vendor(
        "together",
        "https://api.together.xyz/v1",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        ("TOGETHER_API_KEY",),
    ),
    Vendor("cerebras", "https://api.cerebras.ai/v1", "llama-3.3-70b", ("CEREBRAS_API_KEY",)),
    Vendor("openrouter", "https://openrouter.ai/api/v1", "openai/gpt-5", ("OPENROUTER_API_KEY",)),
    Vendor(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "accounts/fireworks/models/llama-v3p3-70b-instruct",
        ("FIREWORKS_API_KEY",),
    ),
    Vendor("lmstudio", "http://localhost:1234/v1", "local-model"),
    Vendor(OPENAI_COMPATIBLE, None, "gemma3:4b"),
)
_OTHER_NAMES: Final = {"kimi": "moonshot", "qwen": "dashscope"}

VENDORS: Final[Mapping[str, Vendor]] = MappingProxyType(
    {vendor.name: vendor for vendor in _VENDORS}
)


def find_vendor(backend: str) -> Vendor | None:
    """The vendor of a backend's name, by either of its names; None if it is not one."""
    return VENDORS.get(_OTHER_NAMES.get(backend, backend))
