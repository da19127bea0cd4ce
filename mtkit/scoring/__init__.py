"""Hypotheses and references → numbers with signatures; significance. sacreBLEU is imported nowhere else."""
