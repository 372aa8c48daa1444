"""`concordance doctor`: what `concordance serve` needs, checked before it starts."""
