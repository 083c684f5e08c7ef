"""Bootstrap intervals, groups of clips from csv, gaps between them, and the Fréchet distance."""

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.groups import Grouping, read_groupings
from mreactor_ref.metrics.intervals import draw_clips, interval, resampled_means
from mreactor_ref.metrics.realism import frechet_distance, read_features
from mreactor_ref.metrics.table import Scores, group_gaps

CLIPS = ["test/a", "test/b", "test/c", "test/d"]


def test_an_interval_is_that_of_the_means_of_resampled_clips():
    values = np.random.default_rng(0).normal(3, 2, 40)
    drawn = draw_clips(40, 20_000, seed=1)
    assert (drawn.sum(1) == 40).all()
    found = interval(resampled_means(values, drawn))
    assert found is not None
    error = values.std() / 40**0.5  # the bootstrap's own, for a mean
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    drawn, hits = draw_clips(50, 1000, seed=0), 0
    for _ in range(400):
        found = interval(resampled_means(rng.normal(size=50), drawn))
        assert found is not None
        hits += found.low <= 0 <= found.high
    assert 0.90 <= hits / 400 <= 0.98


def test_pairs_are_resampled_by_clip():
    values = np.abs(np.subtract.outer([0.0, 1, 5], [0.0, 1, 5]))
    drawn = np.array([[1, 1, 1], [2, 1, 0], [3, 0, 0]])
    means = resampled_means(values, drawn)
    assert means[0] == pytest.approx((1 + 5 + 4) / 3)
    assert means[1] == pytest.approx(1)  # a, a, b: the two a are not compared
    assert np.isnan(means[2])


def test_the_same_seed_gives_the_same_interval_and_constants_have_no_width():
    scores = Scores({"FRCorr": np.arange(9.0), "FRDvs": np.ones((9, 9))})
    assert scores.intervals(seed=3) == scores.intervals(seed=3)
    assert scores.intervals(seed=3) != scores.intervals(seed=4)
    across = scores.intervals()["FRDvs"]
    assert across is not None
    assert (across.low, across.high) == (1, 1)
    assert scores.intervals([4]) == {"FRCorr": None, "FRDvs": None}
    assert scores.means([4]) == {"FRCorr": 4, "FRDvs": 0}


def test_gaps_lie_between_the_extreme_groups():
    values = np.array([1.0, 1.2, 5, 5.2, 3, 3])
    grouping = Grouping("who", {"x": (0, 1), "y": (2, 3), "z": (4, 5)})
    gap = group_gaps(Scores({"FRCorr": values}), grouping)["FRCorr"]
    assert (gap.largest, gap.smallest) == ("y", "x")
    assert gap.difference == pytest.approx(4)
    assert gap.interval is not None
    assert 3.7 < gap.interval.low < 4 < gap.interval.high < 4.3
    lonely = Grouping("who", {"x": (0,), "y": (2, 3)})
    assert group_gaps(Scores({"FRCorr": values}), lonely)["FRCorr"].interval is None
    assert group_gaps(Scores({"FRCorr": values}), Grouping("who", {"x": (0, 1)})) == {}


def test_groups_are_read_by_column(tmp_path: Path):
    path = tmp_path / "groups.csv"
    path.write_text(
        '\ufeffclip, gender ,"first, language"\n'
        "test/c,f,de\ntest/a,m,\n\ntest/b,f,en\ntest/d,,en\ntest/later,m,en\n"
    )
    gender, language = read_groupings(path, CLIPS, [*CLIPS, "test/later"])
    assert gender == Grouping("gender", {"f": (1, 2), "m": (0,)})
    assert language == Grouping("first, language", {"de": (2,), "en": (1, 3)})


HEAD = "clip,gender\n"
ROWS = "".join(f"{clip},f\n" for clip in CLIPS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("id,gender\n", "has no column clip"),
        ("clip\n" + "\n".join(CLIPS), "has no column beside clip"),
        ("clip,a,a\n", "two columns of one name"),
        (HEAD + ROWS + "test/x,f\n", "line 6: there is no clip 'test/x'"),
        (HEAD + ROWS + "test/a,m\n", "line 6: the clip 'test/a' stands there twice"),
        (HEAD + "test/a\n", "line 2 has 1 cells, not 2"),
        (HEAD + "test/a,f\n", "3 of 4 clips have no row, such as 'test/b'"),
        (HEAD + "".join(f"{clip},\n" for clip in CLIPS), "the column gender is empty"),
        (HEAD + 'test/a,"f\n', "is not csv"),
    ],
)
def test_a_bad_file_of_groups_is_named_with_its_line(tmp_path: Path, text: str, problem: str):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_groupings(path, CLIPS)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_of_groups_that_is_none(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_groupings(tmp_path / "nowhere.csv", CLIPS)
    path = tmp_path / "latin.csv"
    path.write_bytes("clip,größe\n".encode("latin-1"))
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_groupings(path, CLIPS)


def test_the_frechet_distance_against_its_formula(tmp_path: Path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6)), 1 + rng.normal(size=(50, 6))
    for name, features in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", features)
    one, other = (read_features(tmp_path / f"{name}.npy") for name in "ab")
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(other, one) == pytest.approx(expected)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    np.savez(tmp_path / "a.npz", mu=a.mean(0), sigma=c)
    assert frechet_distance(read_features(tmp_path / "a.npz"), other) == pytest.approx(expected)


def test_two_normals_of_one_dimension_by_hand(tmp_path: Path):
    # (1 - 4)^2 + (2 - 3)^2
    np.savez(tmp_path / "a.npz", mu=np.array([1.0]), sigma=np.array([[4.0]]))
    np.savez(tmp_path / "b.npz", mu=np.array([4.0]), sigma=np.array([[9.0]]))
    pair = [read_features(tmp_path / f"{name}.npz") for name in "ab"]
    assert frechet_distance(*pair) == pytest.approx(10)


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (np.zeros(5), r"has shape \(5,\), not \(N, D\)"),
        (np.zeros((1, 5)), r"has shape \(1, 5\)"),
        (np.full((3, 2), np.nan), "not finite"),
        (np.array([["a", "b"], ["c", "d"]]), "has shape"),
    ],
)
def test_features_of_another_form(tmp_path: Path, features: np.ndarray, problem: str):
    np.save(tmp_path / "f.npy", features)
    with pytest.raises(UsageError, match=problem):
        read_features(tmp_path / "f.npy")


def test_features_that_cannot_be_read_or_compared(tmp_path: Path):
    (tmp_path / "text.npy").write_text("hello")
    for name in ("text.npy", "nowhere.npy"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_features(tmp_path / name)
    np.savez(tmp_path / "f.npz", mu=np.zeros(2))
    with pytest.raises(UsageError, match="holds no sigma"):
        read_features(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", mu=np.zeros(2), sigma=np.eye(3))
    with pytest.raises(UsageError, match=r"mu is \(2,\) and sigma \(3, 3\)"):
        read_features(tmp_path / "f.npz")
    for width in (2, 3):
        np.save(tmp_path / f"{width}.npy", np.random.default_rng(0).random((9, width)))
    with pytest.raises(UsageError, match="2 and 3 wide"):
        frechet_distance(*(read_features(tmp_path / f"{width}.npy") for width in (2, 3)))
