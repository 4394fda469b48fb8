"""A report on the own corpus, batch by batch: size, likeness, give-away words, lengths, sameness."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from training import alike
from training.corpora import Example

# Words that name a scheme or its props. They must be missing from a third of the frauds and stand
# in a third of the rest, or they alone would tell.
GIVE_AWAY = re.compile(
    r"诈骗|詐騙|骗|騙|刷单|征信|安全账户|安全帳戶|验证码|驗證碼|返利|杀猪盘|裸聊|传销|博彩|中奖|"
    r"scam|fraud|cheat|phish|otp|kyc|refund|lottery|sextort|ransom|fake",
    re.IGNORECASE,
)


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Each text that is nearly the same as an earlier one, with the first of its group."""
    return [(int(first), i) for i, first in enumerate(alike.groups(texts)) if first != i]


def learnt_elsewhere(examples: Sequence[Example]) -> dict[str, float]:
    """How right a bag of words fitted on one batch is about the others of its language.

    Little is good: it means that a batch has its own words and not just the scheme's usual ones.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.naive_bayes import MultinomialNB

    words = HashingVectorizer(analyzer="char", ngram_range=(2, 3), n_features=2**16, alternate_sign=False)
    matrix = words.transform(e.text for e in examples)
    truths = np.array([e.category for e in examples])
    batches = np.array([e.batch for e in examples])
    languages = np.array([e.language for e in examples])
    found = {}
    for batch in sorted(set(batches)):
        mine = batches == batch
        others = ~mine & (languages == Counter(languages[mine]).most_common(1)[0][0])
        if others.any():
            learnt = MultinomialNB(alpha=0.01).fit(matrix[mine], truths[mine])
            found[batch] = float((learnt.predict(matrix[others]) == truths[others]).mean())
    return found


def report(examples: Sequence[Example]) -> str:
    """The report as text; no text of an example is in it."""
    texts = [e.text for e in examples]
    doubles = near_duplicates(texts)
    learnt = learnt_elsewhere(examples)
    copies = Counter(examples[b].batch for _, b in doubles)
    across = sum(examples[a].batch != examples[b].batch for a, b in doubles)
    lines = [
        f"{len(examples)} reports in {len({e.batch for e in examples})} batches, "
        f"{sum(e.category == 'not_fraud' for e in examples)} not_fraud; "
        f"{len(doubles)} near-duplicate pairs, {across} of them across batches",
        "",
        f"{'batch':<24}{'reports':>8}{'not_fraud':>10}{'schemes':>8}{'median':>7}{'near-dup':>9}"
        f"{'give-away: fraud':>18}{'not_fraud':>10}{'right elsewhere':>16}",
    ]
    for batch in sorted({e.batch for e in examples}):
        mine = [e for e in examples if e.batch == batch]
        clean = [e for e in mine if e.category == "not_fraud"]
        fraud = [e for e in mine if e.category != "not_fraud"]
        lines.append(
            f"{batch:<24}{len(mine):>8}{len(clean):>10}{len({e.scheme for e in mine}):>8}"
            f"{int(np.median([len(e.text) for e in mine])):>7}{copies[batch]:>9}"
            f"{_share(fraud):>18}{_share(clean):>10}{learnt.get(batch, float('nan')):>16.2f}"
        )
    lines += ["", f"{'category':<34}{'zh':>6}{'en':>6}{'median length zh':>18}{'en':>6}"]
    for category in sorted({e.category for e in examples}):
        row = [[e for e in examples if e.category == category and e.language == k] for k in ("zh", "en")]
        medians = [int(np.median([len(e.text) for e in part])) if part else 0 for part in row]
        lines.append(f"{category:<34}{len(row[0]):>6}{len(row[1]):>6}{medians[0]:>18}{medians[1]:>6}")
    for language in ("zh", "en"):
        here = Counter(e.scheme for e in examples if e.language == language)
        thin = [f"{s} {here[s]}" for s in sorted({str(e.scheme) for e in examples}) if here[s] < 20]
        lines.append(f"thin in {language} (under 20): {', '.join(thin) or 'none'}")
    return "\n".join(lines)


def _share(examples: Sequence[Example]) -> str:
    if not examples:
        return "-"
    return f"{sum(bool(GIVE_AWAY.search(e.text)) for e in examples) / len(examples):.0%}"
