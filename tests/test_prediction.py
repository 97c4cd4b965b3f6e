"""Prediction from photographs: a face found and cut out, none found, a file that is no picture."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fer_repro import prediction, recipe, training
from fer_repro.cli import main
from fer_repro.data import detection, synthetic


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for a moment; what is tested is the way from picture to probabilities."""
    root = tmp_path_factory.mktemp("results")
    faces = synthetic.load(n=240, seed=0)
    training.train(faces, "cnn-svm", recipe.get("quick"), epochs=2, limit=120, folder=root, device="cpu")
    return next(root.glob(".runs/**/best.pt"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), synthetic.load(n=40, seed=3).images[0])
    return path


def test_probabilities_of_a_face_already_cut_out(checkpoint: Path, picture: Path) -> None:
    (face,) = prediction.Predictor(checkpoint)(picture, whole=True)
    assert face["box"] == [0, 0, 48, 48]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert face["expression"] == max(face["probabilities"], key=face["probabilities"].get)


def test_each_found_face_is_cut_out_and_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvas = np.full((200, 300), 127, np.uint8)
    one, other = synthetic.load(n=40, seed=3).images[:2]
    canvas[10:58, 20:68], canvas[100:148, 200:248] = one, other
    path = tmp_path / "two.png"
    cv2.imwrite(str(path), canvas)
    monkeypatch.setattr(prediction, "find_faces", lambda grey: [(20, 10, 48, 48), (200, 100, 48, 48)])
    found = prediction.Predictor(checkpoint)(path)
    alone = tmp_path / "one.png"
    cv2.imwrite(str(alone), one)
    (whole,) = prediction.Predictor(checkpoint)(alone, whole=True)
    assert [face["box"] for face in found] == [[20, 10, 48, 48], [200, 100, 48, 48]]
    assert found[0]["probabilities"] == pytest.approx(whole["probabilities"], abs=2e-3)


def test_no_face_is_said_and_exits_with_one(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((300, 400), 90, np.uint8))
    done = CliRunner().invoke(main, ["predict", str(path), "--checkpoint", str(checkpoint)])
    assert done.exit_code == 1
    assert "no face found" in done.stderr and "1 of 1" in done.stderr


def test_json_is_one_object_a_face_and_one_bad_file_does_not_stop_the_rest(
    checkpoint: Path, picture: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    arguments = ["predict", str(broken), str(picture), "--whole", "--json", "--checkpoint", str(checkpoint)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "not a picture that OpenCV can decode" in done.stderr
    assert json.loads(done.stdout)["image"] == str(picture)


@pytest.mark.parametrize("content", [None, b"\x80\x02junk"])
def test_a_checkpoint_that_is_none_is_said(tmp_path: Path, picture: Path, content: bytes | None) -> None:
    path = tmp_path / "best.pt"
    if content is not None:
        path.write_bytes(content)
    done = CliRunner().invoke(main, ["predict", str(picture), "--checkpoint", str(path)])
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1 and str(path) in done.stderr


def test_a_picture_too_large_for_opencv_is_said(tmp_path: Path) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "huge.png").write_bytes(png)
    with pytest.raises(prediction.PredictionError, match="not a picture that OpenCV can decode"):
        prediction.read_grey(tmp_path / "huge.png")


def test_detector_finds_nothing_on_a_wall_and_refuses_colour() -> None:
    assert detection.find_faces(np.full((100, 100), 60, np.uint8)) == []
    with pytest.raises(ValueError, match="grey"):
        detection.find_faces(np.zeros((10, 10, 3), np.uint8))


def test_a_cut_face_is_48_by_48_and_a_margin_widens_it() -> None:
    image = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    tight, wide = (detection.cut(image, (50, 50, 96, 96), margin) for margin in (0.0, 0.25))
    assert tight.shape == wide.shape == (48, 48)
    assert np.ptp(wide.astype(int)) > np.ptp(tight.astype(int))


def test_the_largest_face_comes_first_and_a_small_one_is_none_of_a_portrait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Cascade:
        def detectMultiScale(self, image: np.ndarray, factor: float, near: int, minSize: tuple[int, int]) -> np.ndarray:
            asked.append(minSize)
            return np.array([[0, 0, 30, 30], [5, 6, 60, 60], [9, 9, 40, 40]])

    monkeypatch.setattr(detection._detector, "cascade", Cascade())
    picture = np.zeros((200, 400), np.uint8)
    assert [box[2] for box in detection.find_faces(picture)] == [60, 40, 30]
    assert detection.find_face(picture) == (5, 6, 60, 60)
    detection.find_face(np.zeros((48, 48), np.uint8))
    assert asked == [(24, 24), (50, 50), (24, 24)]  # a tenth of 200 is below the cascade's own size


def test_a_cut_ends_at_the_border_and_without_a_box_it_is_the_middle() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 144), dtype=np.uint8)
    np.testing.assert_array_equal(
        detection.cut(image, (0, 0, 48, 48), 0.5), cv2.resize(image[:72, :72], (48, 48), interpolation=cv2.INTER_AREA)
    )
    for picture, middle in ((image, image[:, 24:120]), (image.T.copy(), image[:, 24:120].T)):
        np.testing.assert_array_equal(
            detection.cut(picture, None), cv2.resize(middle, (48, 48), interpolation=cv2.INTER_AREA)
        )


def test_the_likeliest_expression_stands_first_in_percent() -> None:
    face = {"image": "a.png", "box": [1, 2, 3, 4], "expression": "b", "probabilities": {"a": 0.25, "b": 0.7, "c": 0.05}}
    said = prediction.as_text(face).splitlines()
    assert said[0] == "a.png: b (face at 1, 2, 3x4 pixels)"
    assert [line.split()[:2] for line in said[1:]] == [["b", "70.0%"], ["a", "25.0%"], ["c", "5.0%"]]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name in ("absent.png", "text.png"):
        with pytest.raises(prediction.PredictionError, match=name):
            prediction.read_grey(tmp_path / name)


def test_a_picture_may_come_through_a_pipe() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    read, write = os.pipe()
    with os.fdopen(write, "wb") as file:
        file.write(cv2.imencode(".png", image)[1].tobytes())
    np.testing.assert_array_equal(prediction.read_grey(f"/dev/fd/{read}"), image)
    os.close(read)


def test_a_whole_picture_is_brought_to_size_by_the_means_of_its_areas(checkpoint: Path, tmp_path: Path) -> None:
    face = synthetic.load(n=40, seed=3).images[0]
    rng = np.random.default_rng(0)
    noise = rng.integers(-40, 41, (48, 2, 48, 2))
    noise[:, 1] = -noise[:, 0]  # gone in the mean of each area, not in a single pixel
    large = np.clip(face.astype(int)[:, None, :, None], 40, 215) + noise
    for name, image in (("small", np.clip(face, 40, 215)), ("large", large.reshape(96, 96).astype(np.uint8))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    predictor = prediction.Predictor(checkpoint)
    small, whole = (predictor(tmp_path / f"{name}.png", whole=True)[0] for name in ("small", "large"))
    assert whole["probabilities"] == pytest.approx(small["probabilities"], abs=2e-3)


def test_expressions_are_called_what_the_training_data_called_them(
    checkpoint: Path, tmp_path: Path, picture: Path
) -> None:
    saved = torch.load(checkpoint, weights_only=True)
    names = [f"class {k}" for k in range(len(saved["classes"]))]
    saved["classes"] = names
    torch.save(saved, tmp_path / "other.pt")
    (face,) = prediction.Predictor(tmp_path / "other.pt")(picture, whole=True)
    assert list(face["probabilities"]) == names
