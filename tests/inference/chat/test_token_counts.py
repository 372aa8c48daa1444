from concordance_inference.chat.token_counts import TokenCounts


def test_long_texts_are_counted_once():
    counted = []
    counts = TokenCounts(lambda text: counted.append(text) or len(text))
    assert [counts.of("word " * 100) for _ in range(3)] == [500] * 3
    assert counts.of("word") == 4
    assert len(counted) == 2


def test_the_least_recently_used_text_is_evicted_first():
    counted = []
    counts = TokenCounts(lambda text: counted.append(text[0]) or len(text), max_texts=2)
    for letter in "abacab":
        counts.of(letter * 100)
    assert counted == ["a", "b", "c", "b"]
