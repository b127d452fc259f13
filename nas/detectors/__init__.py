"""The detector families: one module each, one line of `DETECTORS`."""

from . import autoencoder, deep_svdd, diffusion, flow, latent_gaussian, masked, quality, vae
from .detector import Detector

__all__ = ["DETECTORS", "Detector"]

DETECTORS: dict[str, Detector] = {
    "deep_svdd": deep_svdd,
    "autoencoder": autoencoder,
    "vae": vae,
    "masked": masked,
    "flow": flow,
    "diffusion": diffusion,
    "latent_gaussian": latent_gaussian,
    "quality": quality,
}
