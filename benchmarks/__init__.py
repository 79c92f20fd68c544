"""Score grounding models on data sets: predict, score, report. No torch at import.

``run`` is the whole way: ``plan``, ``units`` and ``selection`` say what is asked; ``predict``, ``predictors``
and ``baselines`` answer; ``store``, ``lock`` and ``disk`` keep it; ``scores``, ``judging``, ``facts`` and
``stats`` judge them with ``tasks`` and ``metrics``; ``finish`` and ``report`` tell. ``score``, ``compare``,
``submission``, ``parity`` and ``perf`` are commands beside it.
"""
