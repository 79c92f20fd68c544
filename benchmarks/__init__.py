"""Score grounding models on data sets: predict, score, report. No torch at import."""
