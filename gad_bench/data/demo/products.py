"""The demo's categories and their defects."""

from __future__ import annotations

from gad_bench.data.demo import fabric, hex_nut, wood
from gad_bench.data.demo.flaws import (
    chip,
    crack,
    hole,
    missing_yarn,
    pulled,
    rust,
    scratch,
    stain,
    strand,
)
from gad_bench.data.demo.scene import Product, colour

PRODUCTS = {
    "fabric": Product(
        fabric.paint,
        {
            "hole": hole(radius=(4, 11), rim=0.2),
            "loose_yarn": strand([fabric.COTTON, fabric.INDIGO], length=(25, 110)),
            "missing_yarn": missing_yarn(fabric.PITCH, length=(30, 120), darkness=(0.15, 0.6)),
            "pulled": pulled(reach=(8, 22), shift=(2.5, 7)),
            "stain": stain(colour(0.35, 0.30, 0.20), strength=(0.15, 0.7), radius=(9, 26)),
        },
    ),
    "wood": Product(
        wood.paint,
        {
            "crack": crack(length=(25, 120), darkness=(0.25, 0.8)),
            "scratch": scratch(contrast=(0.12, 0.5), length=(25, 130)),
            "stain": stain(colour(0.25, 0.18, 0.15), strength=(0.10, 0.5), radius=(10, 30)),
            "wormhole": hole(radius=(2, 5), rim=0.25),
        },
    ),
    "hex_nut": Product(
        hex_nut.paint,
        {
            "chip": chip(radius=(4, 12)),
            "rust": rust(strength=(0.15, 0.8), radius=(7, 18)),
            "scratch": scratch(contrast=(0.12, 0.6), length=(18, 80)),
        },
    ),
}
