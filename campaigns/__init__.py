"""Long runs that try to break the product. Results with dates and figures: docs/reliability.md."""
