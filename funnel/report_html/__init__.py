"""A run as one HTML page that stands alone, and its figures as SVG and PNG files; `funnel report` writes them."""
