"""Tokens, BLEU, METEOR, ROUGE-L and CIDEr, of sentences and of corpora."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.metrics import captions, meteor
from benchmarks.metrics.java import run_java
from benchmarks.metrics.meteor import FloatArray, Pair
from benchmarks.metrics.tokens import tokenize, tokenize_official
from benchmarks.parity.golden import Golden, Row

EXACT_STEM, EXACT_STEM_SYNONYM = meteor.MODULES[:2], meteor.MODULES[:3]
_FEWER = {
    "exact_only": meteor.MODULES[:1],
    "exact_stem": EXACT_STEM,
    "exact_stem_synonym": EXACT_STEM_SYNONYM,
}


class _Scored:
    """All metrics of some tokenised pairs, given their METEOR counts."""

    def __init__(self, pairs: Sequence[Pair], statistics: FloatArray) -> None:
        self.bleu = captions.bleu_counts(pairs)
        self.meteor = meteor.counts(statistics)
        self.rouge = captions.rouge_l(pairs)
        self.cider = captions.cider(pairs)

    def sentence(self, index: int) -> dict[str, float]:
        return self._named(self.bleu[index], self.meteor[index], self.rouge[index], self.cider[index])

    def corpus(self) -> dict[str, float]:
        return self._named(
            self.bleu.sum(axis=0), self.meteor.sum(axis=0), self.rouge.mean(), self.cider.mean()
        )

    @staticmethod
    def _named(bleu: FloatArray, counts: FloatArray, rouge: float, cider: float) -> dict[str, float]:
        values = dict(zip(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"), captions.bleu_score(bleu), strict=True))
        return values | {"METEOR": float(meteor.score(counts)), "ROUGE_L": rouge, "CIDEr": cider}


def check_captions(folder: Path) -> list[Row]:
    """Every sentence, corpus and alignment, and the tokenizer's table with its oddities."""
    content = Golden(folder, "caption").content
    cases = content["cases"]
    multi, tokens = _tokens(content)
    single = [(candidate, references[:1]) for candidate, references in multi]
    words = [(pair["candidate"], (pair["reference"],)) for pair in content["meteor_pairs"]]
    cut = _truncated(content["truncation"])
    # All at once: METEOR takes seconds to read its tables.
    found = meteor.statistics([*multi, *single, *words, *cut])
    ends = np.cumsum([len(multi), len(single), len(words)])
    of_multi, of_single, of_words, of_cut = np.split(found, ends)
    scored = {"multi": _Scored(multi, of_multi), "single": _Scored(single, of_single)}
    return [
        tokens,
        *_sentences(content, scored),
        *_corpora(content, multi, of_multi),
        _truncation(content["truncation"], cut, of_cut),
        _statistics(cases, content["meteor_pairs"], of_multi, of_single, of_words),
        *_fewer_modules(content, multi, words),
        _alignments(cases, content["meteor_pairs"], multi, words),
        _pairs_corpus(content, of_words),
    ]


def _tokens(content: Mapping[str, Any]) -> tuple[list[Pair], Row]:
    row = Row("PTB tokens")
    cases, table = content["cases"], content["tokenizer_table"]
    odd = [*content["tokenizer_line_breaks"], *content["tokenizer_empty"]]
    pairs = captions.prepare([(case["candidate"], tuple(case["references"])) for case in cases])
    for (candidate, references), case in zip(pairs, cases, strict=True):
        row.same([candidate, *references], [case["tok_candidate"], *case["tok_references"]])
    for found, entry in zip(tokenize([entry["text"] for entry in table]), table, strict=True):
        row.same(found, entry["tokens"])
    for entry in odd:
        # The official wrapper tokenises a list of captions by itself, and shifts only within it.
        found_lines = tokenize_official(entry["captions"])
        row.same({str(i): [line] for i, line in enumerate(found_lines)}, entry["tokens"])
        row.same(len(entry["captions"]) - len(found_lines), len(entry["ids_missing"]))
    return pairs, row


def _sentences(content: Mapping[str, Any], scored: Mapping[str, _Scored]) -> list[Row]:
    rows = {key: Row(f"{key}, sentences") for key in ("Bleu", "METEOR", "ROUGE_L", "CIDEr")}
    corpus, totals = Row("caption metrics, corpus"), Row("BLEU counts")
    for kind, given in scored.items():
        for index, case in enumerate(content["cases"]):
            for key, value in given.sentence(index).items():
                rows[key.split("_")[0] if key.startswith("Bleu") else key].add(value, case[kind][key])
        corpus.each(given.corpus(), content["corpus"][kind])
        printed = ast.literal_eval(content["corpus"][f"bleu_counts_{kind}"])
        expected = [printed["testlen"], printed["reflen"], *printed["guess"], *printed["correct"]]
        totals.add(given.bleu.sum(axis=0), expected)
    return [*rows.values(), corpus, totals]


def _corpora(content: Mapping[str, Any], pairs: Sequence[Pair], statistics: FloatArray) -> list[Row]:
    row, cider = Row("caption metrics, parts of the corpus"), Row("CIDEr, parts of the corpus")
    places = {case["id"]: index for index, case in enumerate(content["cases"])}
    for part in content["sub_corpora"]:
        chosen = [places[id] for id in part["ids"]]
        scored = _Scored([pairs[index] for index in chosen], statistics[chosen])
        row.each(scored.corpus(), part["eval"])
        cider.each(dict(zip(part["ids"], scored.cider.tolist(), strict=True)), part["CIDEr_per_sentence"])
    return [row, cider]


def _truncated(given: Mapping[str, Any]) -> list[Pair]:
    long = [" ".join([given[f"{kind}_unit"]] * given["times"]) for kind in ("candidate", "reference")]
    other = given["other_pair"]
    return captions.prepare([(long[0], (long[1],)), (other["candidate"], (other["reference"],))])


def _truncation(given: Mapping[str, Any], pairs: Sequence[Pair], statistics: FloatArray) -> Row:
    row = Row("captions cut at 2000 characters")
    candidate, (reference,) = pairs[0]
    row.add(
        [len(candidate.split()), len(reference.split())],
        [given["tok_candidate_words"], given["tok_reference_words"]],
    )
    tail = given["tok_candidate_tail"]
    row.same(candidate[-len(tail) :], tail)
    scored = _Scored(pairs, statistics)
    row.each(scored.corpus(), given["eval"])
    for index, expected in given["per"].items():
        row.each(scored.sentence(int(index)), expected)
    return row


def _statistics(
    cases: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    multi: FloatArray,
    single: FloatArray,
    words: FloatArray,
) -> Row:
    row = Row("METEOR counts")
    for index, case in enumerate(cases):
        row.add(multi[index], case["meteor"]["stats"])
        row.add(single[index], case["meteor"]["stats_single"])
    for index, pair in enumerate(pairs):
        row.add(words[index], pair["stats"])
    return row


def _pairs_corpus(content: Mapping[str, Any], statistics: FloatArray) -> Row:
    row = Row("METEOR, pairs of words")
    counts = meteor.counts(statistics)
    for index, pair in enumerate(content["meteor_pairs"]):
        row.add(meteor.score(counts[index]), pair["score"])
    row.add(meteor.score(counts.sum(axis=0)), content["meteor_pairs_corpus"])
    return row


def _fewer_modules(content: Mapping[str, Any], multi: Sequence[Pair], words: Sequence[Pair]) -> list[Row]:
    rows = []
    for name, modules in _FEWER.items():
        row = Row(f"METEOR, {' '.join(modules)}")
        counts = meteor.counts(meteor.statistics([*multi, *words], modules))
        for index, case in enumerate(content["cases"]):
            row.add(meteor.score(counts[index]), case["meteor"][name])
        row.add(meteor.score(counts[: len(multi)].sum(axis=0)), content["corpus"][f"multi_meteor_{name}"])
        for index, pair in enumerate(content["meteor_pairs"]):
            if name in pair:
                row.add(meteor.score(counts[len(multi) + index]), pair[name])
        rows.append(row)
    return rows


def _alignments(
    cases: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    multi: Sequence[Pair],
    words: Sequence[Pair],
) -> Row:
    row = Row("METEOR alignments")
    given = [(candidate, reference) for candidate, references in multi for reference in references]
    given += [(candidate, references[0]) for candidate, references in words]
    expected = [one for case in cases for one in case["meteor"]["per_reference_alignment"]]
    expected += [pair["alignment"] for pair in pairs]
    found = _align(given)
    row.same(len(found), len(expected))
    for ours, theirs in zip(found, expected, strict=False):
        for key in ("candidate_tokens", "reference_tokens", "matches"):
            row.same(ours[key], theirs[key])
        for key in ("precision", "recall", "frag_penalty", "score"):
            row.add(ours[key], theirs[key])
    return row


def _align(pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What METEOR writes about each pair of a candidate and one reference."""
    with TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("candidates", "references", "out")]
        for name, texts in zip(names[:2], zip(*pairs, strict=True), strict=True):
            Path(name).write_text("\n".join(texts) + "\n", encoding="utf-8")
        options = ["-l", "en", "-norm", "-writeAlignments", "-f", names[2]]
        run_java([*meteor.jar_arguments(), names[0], names[1], *options])
        written = Path(f"{names[2]}-align.out").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = []
    lines = iter(written.split("\n"))
    for line in lines:
        head = line.split("\t")
        if head[0] != "Alignment":
            if line.strip():
                reference, candidate, module = line.split()[:3]
                spans = [*map(int, candidate.split(":")), *map(int, reference.split(":"))]
                found[-1]["matches"] = sorted([*found[-1]["matches"], [*spans, int(module)]])
            continue
        scores = dict(zip(("precision", "recall", "frag_penalty", "score"), head[2:6], strict=True))
        found.append({**{key: float(value) for key, value in scores.items()}, "matches": []})
        found[-1]["candidate_tokens"], found[-1]["reference_tokens"] = next(lines), next(lines)
        next(lines)  # the table's head
    return found
