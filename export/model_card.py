"""The bundle's MODEL_CARD.md: its manifest in words."""

from typing import Any

COSTS = {
    "n_parameters": "parameters, with the biases the converter adds",
    "macs_per_window": "multiply-accumulates a window",
    "blob_bytes": "flash for the blob, bytes",
    "activation_bytes": "activations, bytes",
}


def model_card(manifest: dict[str, Any]) -> str:
    """Return the model card as Markdown; a function of the manifest alone."""
    data, gate, classifier = manifest["data"], manifest["filter"], manifest["classifier"]
    threshold, sensor = gate["threshold"], manifest["front_end"]
    mains = f"notch at {sensor['mains_hz']:g} Hz" if sensor["mains_hz"] else "no mains notch"
    rows = [("network", gate["training"].get("detector", "detector"), "residual 1-D network")]
    for key, label in COSTS.items():
        rows.append((label, f"{gate['cost'][key]:,}", f"{classifier['cost'][key]:,}"))
    rows.append(
        (
            "Spearman, int8 : float",
            f"{gate['spearman_int8_float']:.3f}",
            f"{classifier['spearman_int8_float']:.3f}",
        )
    )
    table = "\n".join(f"| {label} | {left} | {right} |" for label, left, right in rows)
    return f"""# Model card

A filter that decides whether {data["window_s"]:g} s of ECG ({", ".join(data["leads"])}) are fit to
be diagnosed, and the classifier it protects. Not a medical device; not validated on patients.

| | filter | classifier |
|---|---|---|
{table}

- **Data**: {manifest["source"]}
- **Held out**: {data["hold_out"] or "no class"}. No record that carries it was used to train,
  quantize or calibrate.
- **Signal chain**: sensor of {sensor["fs"]:g} Hz, {sensor["adc_gain"]:g} counts/mV, 0 mV at
  {sensor["baseline"]}, {mains}; model at {data["fs_target"]:g} Hz, high-pass
  {data["highpass_hz"]:g} Hz, {data["lsb_mv"] * 1000:g} uV a code. Trained on recordings of
  {data["fs"]:g} Hz. Another device or electrode position: calibrate anew.
- **Threshold**: {threshold["value"]}, by split conformal calibration at a false-reject rate of
  {threshold["alpha"]:g} on n = {threshold["n_calibration"]:,} clean in-distribution windows.
- **Classes**: {", ".join(classifier["classes"])}. A record may carry several; the label is the
  largest logit.
- **Arena**: {manifest["arena_bytes"]:,} bytes: filter, classifier and signal buffer together.
- **Made by**: commit {manifest["commit"]}, seed {gate["seed"]}.

How well it detects is measured by `python -m firmware_sim replay`, on records it has not seen.
"""
