"""The page that lies beside trained gates: what they are, how they were made, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["card"]

_METHODS = {
    "trimkv": "TRIM-KV (arXiv 2512.03324), a budget for each layer and KV head",
    "dbtrimkv": "DBTrimKV (arXiv 2605.09649), one budget for all layers and heads",
    "spkv": "in the way of SP-KV (arXiv 2605.14037), but with a frozen model and a term for sparsity; no reproduction of that paper",
}


def card(about: Mapping[str, str], text: Mapping[str, Any], report: Mapping[str, Any] | None, warnings: Sequence[str]) -> str:
    """Return a model card in Markdown.

    Args:
        about: The gate file's header.
        text: What was trained on: documents, tokens, a hash.
        report: The last step, as `StepReport.line` gives it, or None.
        warnings: What is wrong with the gates.
    """
    base = about["base_model"]
    lines = [
        "---", "library_name: tierkeep", f"base_model: {base}", "tags: [kv-cache, retention-gates]", "---", "",
        f"# Retention gates for {base}", "",
        f"Small networks beside {base}, one for each attention layer, which say how fast each KV head may forget a token. The model's own "
        "weights are not in here and were not changed.", "",
        "```python",
        "from tierkeep_transformers import GateSet, TrimKV, attach", "",
        'gates = GateSet.load("gates.safetensors", model)',
        f"with attach(model, TrimKV(budget={about['M_train']}, gates=gates)) as bounded:",
        "    bounded.generate(**inputs, max_new_tokens=200)",
        "```", "",
        "## How they were made", "",
        f"- Method: {_METHODS[about['method']]}",
        f"- Budget in training: {about['M_train']} slots; length: {about['T_train']} tokens; steps: {about['steps']}",
        f"- Gates: width {about['hidden']}, activation {about['act']}, first bias {about['bias_init']}, form {about['form']}",
        f"- Capacity loss: weight {about['lambda_cap']}, averaged as {about['cap_norm']}",
        f"- Text: {text['documents']:,} documents, {text['tokens']:,} tokens, SHA-256 of the tokens {text['sha256']}",
        "", "## Figures", "",
    ]  # fmt: skip
    lines += _figures(report) if report else ["None were taken."]
    lines += [f"- **Warning:** {warning}" for warning in warnings]
    lines += [
        "", "## Limits", "",
        "Eviction is lossy. What has left the cache cannot be recalled, and exact recall of arbitrary strings is not promised. Gates are "
        "worth most on text like that which they were trained on.", "",
        "## Licence", "",
        f"Gates are trained from the outputs of {base} on the text above. Before you pass them on, look at the licences of both, and write "
        "here which one holds.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _figures(report: Mapping[str, Any]) -> list[str]:
    lines = [
        f"At step {report['step']}: KL {report['kl']:.4f}, next token {report['ntp']:.4f} nats, {report['accuracy']:.1%} of next tokens "
        "right with gates and without eviction.", "",
    ]  # fmt: skip
    if report["hard"]:
        lines += ["With real eviction, on text that was held out:", "", "| budget | next tokens right | nats |", "|---|---|---|"]
        lines += [f"| {budget} | {score['accuracy']:.1%} | {score['ntp']:.4f} |" for budget, score in report["hard"].items()]
        lines.append("")
    sizes = ", ".join(f"{layer}: {size:.1f}" for layer, size in report["soft_size"].items())
    return [*lines, f"Soft size by layer (slots that a head holds at the end of a sequence): {sizes}", ""]
