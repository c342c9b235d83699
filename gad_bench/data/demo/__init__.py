"""The demo: photographs of made-up goods, drawn on first use, with defects and their masks."""
