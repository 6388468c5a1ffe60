"""What makes two reports the same alert: everything that tells them apart, and nothing else."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.fingerprints import fingerprint

# A short alphabet, so that parts often read the same when they are put one after the other.
WORDS = st.text("ab", max_size=3) | st.text(st.characters(codec="utf-8"), max_size=20)
LABELS = st.dictionaries(WORDS, WORDS, max_size=4)


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "organization": draw(WORDS),
        "source": draw(st.sampled_from(["live", "demo"])),
        "alert_type": draw(WORDS),
        "endpoint_id": draw(WORDS),
        "model_name": draw(WORDS),
        "labels": draw(LABELS),
    }


class TestTheSame:
    @given(labels=LABELS, rest=st.randoms(use_true_random=False))
    def test_the_order_of_labels_does_not_matter(self, labels: dict[str, str], rest: Any) -> None:
        shuffled = list(labels.items())
        rest.shuffle(shuffled)
        one, other = (fingerprint(organization="o", alert_type="t", labels=each) for each in (labels, dict(shuffled)))
        assert one == other

    def test_what_is_left_out_is_empty(self) -> None:
        bare = fingerprint(organization="o", alert_type="t")
        whole: Mapping[str, Any] = {"endpoint_id": "", "model_name": "", "labels": {}, "source": "live"}
        assert bare == fingerprint(organization="o", alert_type="t", **whole)

    def test_it_is_made_as_it_always_was(self) -> None:
        """Alerts that are stored keep theirs: made otherwise, every open alert would fire a second time."""
        told = ("first", "live", "slow", "e-1", "llama", "a", "1", "ü", "2")
        content = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in told)
        found = fingerprint(organization="first", alert_type="slow", endpoint_id="e-1", model_name="llama",
                            labels={"ü": "2", "a": "1"})  # fmt: skip
        assert found == hashlib.sha256(content).hexdigest()
        assert len(found) == 64


class TestAnother:
    @settings(max_examples=500)
    @given(one=parts(), other=parts())
    @example(one={"organization": "o", "alert_type": "ab"}, other={"organization": "oa", "alert_type": "b"})
    @example(
        one={"organization": "o", "alert_type": "a", "labels": {"a": "b"}},
        other={"organization": "o", "alert_type": "a", "labels": {"ab": ""}},
    )
    @example(
        one={"organization": "o", "alert_type": "a", "model_name": "a", "labels": {"b": "a"}},
        other={"organization": "o", "alert_type": "a", "labels": {"a": "b", "": "a"}},
    )
    def test_no_two_different_sets_are_the_same(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        nothing = {"endpoint_id": "", "model_name": "", "labels": {}, "source": "live"}
        same = {**nothing, **one} == {**nothing, **other}
        assert (fingerprint(**one) == fingerprint(**other)) == same

    @given(given=parts(), name=st.sampled_from(["organization", "alert_type", "endpoint_id", "model_name"]))
    def test_every_part_is_in_it(self, given: dict[str, Any], name: str) -> None:
        assert fingerprint(**given) != fingerprint(**{**given, name: given[name] + "a"})

    @given(given=parts())
    def test_the_source_is_in_it(self, given: dict[str, Any]) -> None:
        other = "demo" if given["source"] == "live" else "live"
        assert fingerprint(**given) != fingerprint(**{**given, "source": other})

    @pytest.mark.parametrize(
        "labels",
        [{"a": "1", "b": "2"}, {"a": "12"}, {"a1": "2"}, {"a": "1b2"}, {"a": "2", "b": "1"}, {"a": "1", "b": ""}],
    )
    def test_labels_that_read_alike_are_told_apart(self, labels: dict[str, str]) -> None:
        others = [{"a": "1"}, {"a": "1", "b2": ""}, {"a1": "", "b": "2"}, {}]
        prints = {fingerprint(organization="o", alert_type="t", labels=each) for each in (labels, *others)}
        assert len(prints) == 1 + len(others)
