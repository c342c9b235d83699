"""Everything that draws; the report's plots alone are drawn in the report."""
