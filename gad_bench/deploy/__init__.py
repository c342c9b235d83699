"""A fitted detector as a file: saved, loaded, applied to new images, served and exported."""
