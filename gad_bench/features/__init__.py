"""Features of images: backbones, runtimes, extraction and the store."""
