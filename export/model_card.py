"""The bundle's MODEL_CARD.md: its manifest in words."""

from typing import Any


def model_card(manifest: dict[str, Any]) -> str:
    """Return the model card as Markdown; a function of the manifest alone."""
    data, gate, classifier = manifest["data"], manifest["filter"], manifest["classifier"]
    threshold = gate["threshold"]
    held_out = data["hold_out"] or "none"
    leads = ", ".join(data["leads"])
    return f"""# Model card

A filter that decides whether a {data["window_s"]:g} s window of ECG (lead {leads}) is fit to be
diagnosed, and the classifier it protects. Not a medical device; not validated on patients.

| | filter | classifier |
|---|---|---|
| network | {gate["training"].get("detector", "")} | residual 1-D network |
| parameters | {gate["cost"]["n_parameters"]:,} | {classifier["cost"]["n_parameters"]:,} |
| multiply-accumulates a window | {gate["cost"]["macs_per_window"]:,} | {classifier["cost"]["macs_per_window"]:,} |
| flash for the blob, bytes | {gate["cost"]["blob_bytes"]:,} | {classifier["cost"]["blob_bytes"]:,} |
| activations, bytes | {gate["cost"]["activation_bytes"]:,} | {classifier["cost"]["activation_bytes"]:,} |
| Spearman int8 : float | {gate["spearman_int8_float"]} | {classifier["spearman_int8_float"]} |

- **Data**: {manifest["source"]}
- **Held out**: {held_out}. No record that carries it was used to train, quantize or calibrate.
- **Signal chain**: {data["fs"]:g} Hz, {data["adc_gain"]:g} counts/mV, high-pass {data["highpass_hz"]:g} Hz,
  {data["lsb_mv"] * 1000:g} uV a code. Another gain, rate or electrode position is another device: calibrate anew.
- **Threshold**: {threshold["value"]}, by split conformal calibration at a false-reject rate of
  {threshold["alpha"]:g} on n = {threshold["n_calibration"]:,} clean in-distribution windows.
- **Classes**: {", ".join(classifier["classes"])}. A record may carry several; the label is the largest logit.
- **Arena**: {manifest["arena_bytes"]:,} bytes, filter, classifier and signal buffer together.
- **Made by**: commit {manifest["commit"]}, seed {gate["seed"]}.

How well it detects is measured by `python -m firmware_sim replay`, on records this bundle has not seen.
"""
