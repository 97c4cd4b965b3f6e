"""Sec. III-A: resize, median filter and global contrast normalisation."""

from __future__ import annotations

import itertools
import math
import threading
import warnings
from multiprocessing import get_context

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import transform

from fer_repro import preprocessing as pre
from fer_repro.data.faces import FaceDataset
from fer_repro.figures import preprocessing as measures


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth_images(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(i, (0, 0), size / 12) for i in random_images(n, size, size, seed=seed)])


def faces(n: int = 12, size: int = 10, split: str = "train", seed: int = 0) -> FaceDataset:
    return FaceDataset(random_images(n, size, size, seed=seed), np.zeros(n, int), ("neutral",), np.full(n, split))


# ------------------------------------------------------------------------------------------------------------ Eq. 1


def equation_1(X: np.ndarray, s: float, lam: float, eps: float) -> np.ndarray:
    """Eq. 1 letter by letter, for one image of r rows, c columns and K channels."""
    X = X.astype(float).reshape(X.shape[0], X.shape[1], -1)
    r, c, K = X.shape
    mean = sum(X[i, j, k] for i in range(r) for j in range(c) for k in range(K)) / (K * r * c)
    total = sum((X[i, j, k] - mean) ** 2 for i in range(r) for j in range(c) for k in range(K))
    return s * (X - mean) / max(eps, math.sqrt(lam + total / (K * r * c)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5), (7, 5, 3), (2, 7, 5, 3)])
@pytest.mark.parametrize(("s", "lam", "eps"), [(1.0, 0.0, 1e-8), (55.0, 10.0, 1e-8), (1.0, 0.0, 500.0)])
def test_eq1_equals_the_loops(shape: tuple[int, ...], dtype: type, s: float, lam: float, eps: float) -> None:
    X = random_images(*shape).astype(dtype)
    result = pre.global_contrast_normalize(X, s, lam, eps)
    assert result.dtype == np.float32
    assert result.shape == shape
    batch = X.ndim == 4 or (X.ndim == 3 and shape[-1] != 3)
    wanted = [equation_1(x, s, lam, eps) for x in (X if batch else X[None])]
    np.testing.assert_allclose(result.ravel(), np.ravel(wanted), rtol=1e-6, atol=1e-6)


def test_eq1_takes_one_mean_over_all_three_channels() -> None:
    X = np.stack([np.full((4, 4), v, np.uint8) for v in (10, 20, 60)], axis=-1)
    result = pre.global_contrast_normalize(X)
    assert abs(result.mean()) < 1e-6
    assert result.std() == pytest.approx(1, abs=1e-6)
    assert result[0, 0].tolist() == pytest.approx(((np.array([10, 20, 60]) - 30) / math.sqrt(1400 / 3)).tolist())


def test_a_last_axis_of_three_is_colour_unless_told_otherwise() -> None:
    X = random_images(4, 6, 3)
    as_batch = pre.global_contrast_normalize(X, color=False)
    assert np.abs(as_batch.mean(axis=(1, 2))).max() < 1e-6
    assert np.abs(pre.global_contrast_normalize(X).mean(axis=(1, 2))).max() > 1e-3


@settings(max_examples=40, deadline=None)
@given(
    X=hnp.arrays(np.float64, (2, 4, 5), elements=st.floats(-1e3, 1e3, width=32)),
    gain=st.floats(0.01, 100),
    offset=st.floats(-1e3, 1e3),
)
def test_eq1_undoes_gain_and_offset(X: np.ndarray, gain: float, offset: float) -> None:
    X[:, 0, 0] += 1 + np.ptp(X, axis=(1, 2))  # contrast well above rounding
    np.testing.assert_allclose(
        pre.global_contrast_normalize(gain * X + offset), pre.global_contrast_normalize(X), atol=2e-4
    )


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_becomes_exact_zeros(value: int) -> None:
    for X in (np.full((48, 48), value, np.uint8), np.full((48, 48), value / 10, np.float32)):
        assert not pre.global_contrast_normalize(X).any()
        assert not pre.normalize_batch(torch.from_numpy(X)[None, None]).any()


def test_the_smallest_divisor_of_eq_1_may_be_as_small_as_a_float_can_be() -> None:
    constant = torch.full((1, 1, 4, 4), 7.0)
    for eps in (1e-25, 1e-40):
        assert not pre.normalize_batch(constant, eps=eps).any()


def test_a_nearly_constant_image_far_from_zero_keeps_its_precision() -> None:
    X = 1e4 + 1e-3 * np.random.default_rng(0).standard_normal((16, 16))
    np.testing.assert_allclose(
        pre.global_contrast_normalize(X), equation_1(X, 1, 0, 1e-8)[..., 0], rtol=1e-4, atol=1e-6
    )


def test_lambda_keeps_a_nearly_flat_image_flat() -> None:
    X = np.full((8, 8), 100, np.uint8)
    X[0, 0] = 101
    assert pre.global_contrast_normalize(X).max() > 7
    assert pre.global_contrast_normalize(X, lam=10.0).max() < 0.5


@pytest.mark.parametrize("bad", [{"lam": -1.0}, {"eps": 0.0}, {"scale": math.nan}])
def test_eq1_refuses_parameters_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="lam >= 0 and eps > 0, got"):
        pre.global_contrast_normalize(random_images(4, 4), **bad)
    with pytest.raises(ValueError, match="lam >= 0 and eps > 0, got"):
        pre.normalize_batch(torch.zeros(1, 1, 4, 4), **bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_eq1_refuses_values_that_are_not_finite(bad: float) -> None:
    X = np.zeros((2, 4, 4))
    X[1, 2, 2] = bad
    with pytest.raises(ValueError, match="wanted finite values"):
        pre.global_contrast_normalize(X)


@pytest.mark.parametrize("lam", [0.0, 25.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_on_the_device_equals_numpy(channels: int, lam: float) -> None:
    x = random_images(5, channels, 12, 9)
    ours = pre.normalize_batch(torch.from_numpy(x), 2.0, lam)
    last = np.moveaxis(x, 1, -1)
    wanted = pre.global_contrast_normalize(last if channels == 3 else last[..., 0], 2.0, lam)
    wanted = np.moveaxis(wanted, -1, 1) if channels == 3 else wanted[:, None]
    np.testing.assert_allclose(ours.numpy(), wanted, atol=3e-6)
    assert ours.dtype == torch.float32


def test_on_the_device_leaves_its_input_alone_and_passes_gradients() -> None:
    x = torch.rand(2, 1, 6, 6, dtype=torch.float64)
    before = x.clone()
    assert torch.autograd.gradcheck(lambda t: pre.normalize_batch(t).double(), x.requires_grad_(), eps=1e-2, atol=1e-2)
    assert torch.equal(x.detach(), before)
    flat = torch.ones(1, 1, 4, 4, requires_grad=True)
    pre.normalize_batch(flat, lam=0.0).square().sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_on_the_device_wants_four_axes() -> None:
    with pytest.raises(ValueError, match=r"\(B, C, H, W\), got \(4, 4\)"):
        pre.normalize_batch(torch.zeros(4, 4))


# ----------------------------------------------------------------------------------------------------------- median


def slow_median(image: np.ndarray, kernel: int) -> np.ndarray:
    r = kernel // 2
    padded = np.pad(image, r, mode="edge")
    result = np.empty_like(image)
    for i, j in itertools.product(range(image.shape[0]), range(image.shape[1])):
        window = sorted(padded[i : i + kernel, j : j + kernel].ravel().tolist())
        result[i, j] = window[len(window) // 2]
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_median_equals_the_loops(kernel: int, dtype: type) -> None:
    images = random_images(2, 11, 8).astype(dtype)
    result = pre.median_filter(images, kernel)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [slow_median(i, kernel) for i in images])


@pytest.mark.parametrize("kernel", [3, 7])
def test_median_filters_each_channel_by_itself(kernel: int) -> None:
    for dtype in (np.uint8, np.float32):
        X = random_images(9, 8, 3).astype(dtype)
        wanted = np.stack([slow_median(X[..., k], kernel) for k in range(3)], axis=-1)
        np.testing.assert_array_equal(pre.median_filter(X, kernel), wanted)


def test_median_removes_single_grains_and_keeps_a_step() -> None:
    step = np.zeros((20, 20), np.uint8)
    step[:, 10:] = 200
    noisy = step.copy()
    noisy[4, 4], noisy[12, 15] = 255, 0
    np.testing.assert_array_equal(pre.median_filter(noisy), step)


@pytest.mark.parametrize("kernel", [0, 2, -3])
def test_median_refuses_even_kernels(kernel: int) -> None:
    with pytest.raises(ValueError, match=f"odd whole number, 1 or more, got {kernel}"):
        pre.median_filter(random_images(5, 5), kernel)


# ----------------------------------------------------------------------------------------------------------- resize


def slow_linear(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear interpolation between pixel centres, the border continued."""
    h, w = image.shape
    result = np.empty((size, size))
    for i, j in itertools.product(range(size), range(size)):
        y = min(max((i + 0.5) * h / size - 0.5, 0), h - 1)
        x = min(max((j + 0.5) * w / size - 0.5, 0), w - 1)
        t, s = int(y), int(x)
        b, r = min(t + 1, h - 1), min(s + 1, w - 1)
        upper = image[t, s] * (1 - x + s) + image[t, r] * (x - s)
        lower = image[b, s] * (1 - x + s) + image[b, r] * (x - s)
        result[i, j] = upper * (1 - y + t) + lower * (y - t)
    return result


def test_enlarging_is_linear() -> None:
    image = random_images(6, 8)
    wanted = slow_linear(image.astype(float), 17)
    np.testing.assert_allclose(pre.resize(image.astype(np.float32), 17), wanted, atol=1e-3)
    result = pre.resize(image, 17)
    assert result.dtype == np.uint8
    assert np.abs(result - wanted).max() <= 1  # OpenCV weighs whole numbers in fixed point


def test_reducing_averages_areas() -> None:
    image = random_images(12, 12).astype(np.float32)
    wanted = image.reshape(4, 3, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(pre.resize(image, 4), wanted, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 40), level=st.integers(0, 255), interpolation=st.sampled_from(["auto", *pre.INTERPOLATIONS]))
def test_a_flat_image_stays_flat_at_any_size(size: int, level: int, interpolation: str) -> None:
    image = np.full((9, 13), level, np.uint8)
    result = pre.resize(image, size, interpolation)
    assert result.shape == (size, size)
    assert (result == level).all()


def test_layouts_and_sizes() -> None:
    assert pre.resize(random_images(6, 8), (4, 9)).shape == (4, 9)
    assert pre.resize(random_images(5, 6, 8), 10).shape == (5, 10, 10)
    assert pre.resize(random_images(6, 8, 3), 10).shape == (10, 10, 3)
    assert pre.resize(random_images(2, 6, 8, 3), 4).shape == (2, 4, 4, 3)
    assert pre.resize(random_images(0, 6, 8), 4).shape == (0, 4, 4)
    assert pre.resize(random_images(6, 8).tolist(), 4).dtype == np.float32


def test_nothing_is_shared_with_the_input() -> None:
    image = random_images(8, 8)
    result = pre.resize(image, 8)
    np.testing.assert_array_equal(result, image)
    assert not np.shares_memory(result, image)


def test_cropping_takes_the_middle() -> None:
    image = np.zeros((6, 10), np.uint8)
    image[:, 2:8] = 9
    assert (pre.resize(image, 6, fit="crop") == 9).all()
    np.testing.assert_array_equal(pre.resize(image.T, 3, fit="crop"), np.full((3, 3), 9))
    assert (pre.resize(image, 6) == 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size: wanted a positive whole number"),
        ({"size": (4, -1)}, r"size: .* got \(4, -1\)"),
        ({"interpolation": "lanczos"}, r"interpolation: wanted 'auto' or one of .*got 'lanczos'"),
        ({"fit": "pad"}, "fit: wanted 'stretch' or 'crop', got 'pad'"),
    ],
)
def test_resize_refuses(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pre.resize(random_images(5, 5), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2), (1, 2, 2, 2, 3), (3, 0, 4)])
def test_shapes_that_are_no_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images: wanted \(H, W\), \(N, H, W\).*got"):
        pre.resize(np.zeros(shape, np.uint8), 4)


def test_things_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted real numbers, got complex128"):
        pre.global_contrast_normalize(np.zeros((4, 4), complex))


# --------------------------------------------------------------------------------------------------------- together


@pytest.mark.parametrize("size", [8, 24, 40])
@pytest.mark.parametrize("steps", [s for n in range(4) for s in itertools.permutations(pre.STEPS, n)])
def test_preprocess_is_its_steps_in_their_order(steps: tuple[str, ...], size: int) -> None:
    images = random_images(3, 24, 24)
    wanted = images
    for step in steps:
        if step == "resize":
            wanted = pre.resize(wanted, size)
        elif step == "median":
            wanted = pre.median_filter(wanted, 5)
        else:
            wanted = pre.global_contrast_normalize(wanted, 2.0, 3.0)
    result = pre.preprocess(images, size, 5, steps, scale=2.0, lam=3.0)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, wanted)
    np.testing.assert_array_equal(pre.preprocess(images[0], size, 5, steps, scale=2.0, lam=3.0), result[0])


def test_preprocess_agrees_with_scikit_image_and_scipy() -> None:
    images = smooth_images(4, 48)
    result = pre.preprocess(images.astype(np.float32), 128)
    for image, ours in zip(images, result, strict=True):
        large = transform.resize(image.astype(float), (128, 128), order=1, mode="edge", preserve_range=True)
        clean = ndimage.median_filter(large, 3, mode="nearest")
        np.testing.assert_allclose(ours, (clean - clean.mean()) / clean.std(), atol=2e-3)
    assert np.abs(pre.preprocess(images, 128) - result).max() < 2 / images.std()  # rounding to whole grey levels


def test_many_images_on_several_threads_equal_one_by_one() -> None:
    images = random_images(3 * pre._IMAGES_A_THREAD + 5, 10, 10)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        result = pre.preprocess(images, 20)
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(result, [pre.preprocess(i, 20) for i in images])


def test_images_that_lie_scattered_in_memory() -> None:
    images = random_images(20, 12, 5)
    np.testing.assert_array_equal(pre.preprocess(images.T[:, ::2], 8), pre.preprocess(images.T[:, ::2].copy(), 8))


@pytest.mark.parametrize("steps", [("resize", "blur"), ("median", "median"), "resize"])
def test_preprocess_refuses_unknown_steps(steps: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"steps: wanted each of .* at most once"):
        pre.preprocess(random_images(5, 5), steps=steps)


def test_prepared_bytes_then_eq1_on_the_batch_are_the_whole_pipeline() -> None:
    images = smooth_images(6, 48)
    held = pre.prepare_uint8(images, 64)
    assert held.dtype == np.uint8
    on_batch = pre.normalize_batch(torch.from_numpy(held)[:, None])[:, 0].numpy()
    np.testing.assert_allclose(on_batch, pre.preprocess(images, 64), atol=1e-5)


def test_prepare_wants_grey_bytes() -> None:
    with pytest.raises(ValueError, match=r"wanted uint8 \(N, H, W\), got float64"):
        pre.prepare_uint8(np.zeros((2, 4, 4)))
    assert pre.prepare_uint8(random_images(4, 5, 3), 6).shape == (4, 6, 6)  # three pixels wide, not colour


# -------------------------------------------------------------------------------------------------------- the cache


def prepared_by_another_process(folder: str) -> bytes:
    return pre.prepared(faces(), 16, cache_dir=folder).tobytes()


def test_the_cache_keeps_what_was_prepared(tmp_path, monkeypatch) -> None:
    first = pre.prepared(faces(), 16, cache_dir=tmp_path)
    np.testing.assert_array_equal(first, pre.prepare_uint8(faces().images, 16))
    (file,) = tmp_path.glob("*.npy")
    made = file.stat().st_mtime_ns
    monkeypatch.setattr(pre, "_write_atomically", None)  # a second call must not write
    np.testing.assert_array_equal(pre.prepared(faces(split="test"), 16, cache_dir=tmp_path), first)
    assert file.stat().st_mtime_ns == made
    assert not list(tmp_path.glob("*.part"))


def test_other_pixels_or_options_are_other_files(tmp_path, monkeypatch) -> None:
    for data, options in [(faces(), (16, 3)), (faces(), (16, 5)), (faces(), (12, 3)), (faces(seed=1), (16, 3))]:
        result = pre.prepared(data, *options, cache_dir=tmp_path)
        np.testing.assert_array_equal(result, pre.prepare_uint8(data.images, *options))
    (edited := tmp_path / "preprocessing.py").write_text("# other steps")
    monkeypatch.setattr(pre, "__file__", str(edited))
    pre.prepared(faces(), 16, cache_dir=tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 5


def test_the_environment_names_the_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "here"))
    pre.prepared(faces(), 16)
    assert len(list((tmp_path / "here").glob("*.npy"))) == 1


def test_writing_into_the_result_changes_nobody_elses(tmp_path) -> None:
    first = pre.prepared(faces(), 16, cache_dir=tmp_path)
    wanted = first.copy()
    first[:] = 0
    torch.from_numpy(first)  # a read-only mapping would warn
    np.testing.assert_array_equal(pre.prepared(faces(), 16, cache_dir=tmp_path), wanted)


@pytest.mark.parametrize("damage", ["cut", "zeros", "one pixel", "not numpy", "empty", "header", "other shape"])
def test_a_damaged_file_is_made_anew(tmp_path, damage: str) -> None:
    wanted = pre.prepared(faces(), 16, cache_dir=tmp_path).copy()
    (file,) = tmp_path.glob("*.npy")
    content = file.read_bytes()
    if damage == "other shape":
        np.save(file, wanted[:3])
    else:
        zeros = content[:128] + bytes(len(content) - 128)
        pixel = content[:300] + bytes([content[300] ^ 1]) + content[301:]
        damaged = {"cut": content[:-50], "zeros": zeros, "one pixel": pixel, "not numpy": b"x" * 999, "empty": b""}
        damaged["header"] = content.replace(b"}", b"|", 1)
        file.write_bytes(damaged[damage])
    np.testing.assert_array_equal(pre.prepared(faces(), 16, cache_dir=tmp_path), wanted)
    assert file.read_bytes() == content


def test_a_folder_that_cannot_be_written_only_warns(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="prepared images are not kept in"):
        result = pre.prepared(faces(), 16, cache_dir=tmp_path / "file" / "cache")
    np.testing.assert_array_equal(result, pre.prepare_uint8(faces().images, 16))


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        result = pre.prepared(faces(), 16, cache_dir=tmp_path)
    np.testing.assert_array_equal(result, pre.prepare_uint8(faces().images, 16))
    assert not [*tmp_path.glob("*.npy"), *tmp_path.glob("*.part")]


def test_processes_and_threads_at_once_make_one_file(tmp_path) -> None:
    wanted = pre.prepare_uint8(faces().images, 16).tobytes()
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(prepared_by_another_process(str(tmp_path)))) for _ in range(4)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for t in threads:
            t.start()
        with get_context("spawn").Pool(2) as pool:
            results += pool.map(prepared_by_another_process, [str(tmp_path)] * 4)
        for t in threads:
            t.join()
    assert results == [wanted] * 8
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_no_images_at_all(tmp_path) -> None:
    assert pre.prepared(faces(0), 16, cache_dir=tmp_path).shape == (0, 16, 16)


# ------------------------------------------------------------------------------------------ measures of the chapter


def test_psnr_of_a_known_error() -> None:
    assert measures.psnr(np.full((4, 4), 110), np.full((4, 4), 100)) == pytest.approx(20 * math.log10(25.5))
    assert measures.psnr([1, 2], [1, 2]) == math.inf
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(3,\)"):
        measures.psnr([1, 2], [1, 2, 3])


def test_edge_strength_of_a_ramp_is_its_slope() -> None:
    ramp = 3.0 * np.arange(12)[:, None] + 4.0 * np.arange(12)
    np.testing.assert_allclose(measures.edge_strength(ramp[None])[0, 2:-2, 2:-2], 5.0, rtol=1e-5)


def test_radial_power_finds_a_wave_where_it_is() -> None:
    for size in (48, 128):
        wave = 100 + 50 * np.cos(2 * np.pi * 10 * np.arange(size) / size) + np.zeros((size, 1))
        cycles, power = measures.radial_power(np.stack([wave, wave.T, 3 * wave]))
        assert cycles[power.argmax()] == 10
        assert power[8:13].sum() > 0.99


@pytest.mark.parametrize("eps", [1e-8, 0.5, 500.0])
def test_the_smallest_divisor_on_the_device_is_numpys(eps: float) -> None:
    x = np.random.default_rng(0).integers(100, 103, (3, 8, 8), dtype=np.uint8)
    ours = pre.normalize_batch(torch.from_numpy(x)[:, None], eps=eps)[:, 0]
    np.testing.assert_allclose(ours.numpy(), pre.global_contrast_normalize(x, eps=eps), atol=1e-5)


def test_cropping_takes_the_targets_aspect_ratio() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[2:6] = 9
    assert (pre.resize(image, (4, 8), fit="crop") == 9).all()
    assert (pre.resize(image.T, (8, 4), fit="crop") == 9).all()


def test_what_is_enlarged_one_way_and_reduced_the_other_is_interpolated() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    for size in ((4, 16), (16, 4)):
        np.testing.assert_array_equal(pre.resize(image, size), pre.resize(image, size, interpolation="linear"))


def test_prepared_bytes_are_filtered_with_the_kernel_asked_for() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 10, 10), dtype=np.uint8)
    for kernel in (1, 3, 5):
        np.testing.assert_array_equal(pre.prepare_uint8(x, 16, kernel), pre.median_filter(pre.resize(x, 16), kernel))


def test_another_interpolation_is_another_file(tmp_path) -> None:

    for method in ("auto", "nearest", "cubic"):
        result = pre.prepared(faces(), 16, interpolation=method, cache_dir=tmp_path)
        np.testing.assert_array_equal(result, pre.prepare_uint8(faces().images, 16, interpolation=method))


@pytest.mark.usefixtures("styled")
def test_histograms_are_in_percent_of_images_and_shares_of_a_faces_pixels() -> None:
    before = random_images(5, 8, 8)
    after = pre.global_contrast_normalize(before)
    for axes in measures.spread(before, after).axes:
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)
    grid = np.reshape(measures.stages({"bytes": before[:3], "Eq. 1": np.clip(after[:3], -2, 2)}).axes, (4, 2))
    for axes in grid[3]:
        assert [line.get_ydata().sum() for line in axes.lines] == pytest.approx([1, 1, 1])
