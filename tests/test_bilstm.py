"""Sec. III-C and III-D: serialisation, the BiLSTM by its gates, and the recurrence of Eqs 5-7."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fer_repro.bilstm import SERIALISATIONS, BiLSTM, UngatedBiRNN, serialise, step_grid
from fer_repro.figures import bilstm as pictures


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def double(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


def sequences(n: int = 3, steps: int = 5, width: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, steps, width, generator=torch.Generator().manual_seed(seed))


# -------------------------------------------------------------------------------------- against a loop from the formula


def lstm_loop(x: np.ndarray, w: dict[str, np.ndarray], suffix: str) -> np.ndarray:
    """One direction of an LSTM, gate by gate, for a sequence (T, D): the equations of Hochreiter and Schmidhuber."""
    hidden = w[f"weight_hh_l0{suffix}"].shape[1]
    h, c, out = np.zeros(hidden), np.zeros(hidden), []
    for x_t in x:
        z = w[f"weight_ih_l0{suffix}"] @ x_t + w[f"bias_ih_l0{suffix}"]
        z = z + w[f"weight_hh_l0{suffix}"] @ h + w[f"bias_hh_l0{suffix}"]
        i, f, g, o = z[:hidden], z[hidden : 2 * hidden], z[2 * hidden : 3 * hidden], z[3 * hidden :]
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def test_the_bilstm_is_its_gate_equations_in_both_directions():
    torch.manual_seed(0)
    network, x = BiLSTM(4, hidden=3), sequences()
    w = double(network.recurrence)
    for row, sequence in enumerate(x.double().numpy()):
        forward = lstm_loop(sequence, w, "")
        backward = lstm_loop(sequence[::-1], w, "_reverse")[::-1]
        expected = np.concatenate([forward, backward], axis=1)
        np.testing.assert_allclose(network(x)[row].detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 6])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_ungated_recurrence_is_equations_5_to_7(steps, activation):
    torch.manual_seed(1)
    network, x = UngatedBiRNN(4, 3, activation), sequences(2, steps)
    w = double(network)
    w1, w2, w3, w4, w5, w6 = (w[f"w{k}.weight"] for k in range(1, 7))
    g = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[activation]
    for row, sequence in enumerate(x.double().numpy()):
        h, k, before, after = {}, {}, np.zeros(3), np.zeros(3)
        for t in range(steps):
            before = h[t] = w1 @ sequence[t] + w2 @ before  # Eq. 5
        for t in reversed(range(steps)):
            after = k[t] = w3 @ sequence[t] + w5 @ after  # Eq. 6
        expected = np.stack([g(w4 @ h[t] + w6 @ k[t]) for t in range(steps)])  # Eq. 7
        np.testing.assert_allclose(network(x)[row].detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by", SERIALISATIONS)
def test_serialise_is_a_loop_over_places(by):
    feature_map = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)  # B, C, H, W
    expected = []
    for image in feature_map.numpy():
        if by == "rows":
            steps = [[image[c, i, j] for c in range(3) for j in range(5)] for i in range(4)]
        elif by == "columns":
            steps = [[image[c, i, j] for c in range(3) for i in range(4)] for j in range(5)]
        else:
            steps = [[image[c, i, j] for c in range(3)] for i in range(4) for j in range(5)]
        expected.append(steps)
    np.testing.assert_array_equal(serialise(feature_map, by).numpy(), np.array(expected))


# ----------------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("cell", ["lstm", "ungated"])
def test_a_step_of_one_direction_sees_one_side_only(cell):
    torch.manual_seed(2)
    network, x = BiLSTM(4, hidden=3, cell=cell), sequences(1)
    if cell == "ungated":  # look at h alone: let Eq. 7 drop the backward part
        nn.init.zeros_(network.recurrence.w6.weight)
    changed = x.clone()
    changed[0, 3] += 1
    before, after = network(x)[0, :, :3], network(changed)[0, :, :3]
    torch.testing.assert_close(after[:3], before[:3])  # what came earlier cannot know
    assert (after[3:] - before[3:]).abs().amax(1).min() > 1e-6


def test_reversing_the_sequence_swaps_the_directions():
    torch.manual_seed(3)
    network, mirror, x = BiLSTM(4, hidden=3), BiLSTM(4, hidden=3), sequences()
    swapped = {}
    for name, tensor in network.recurrence.state_dict().items():
        swapped[name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"] = tensor
    mirror.recurrence.load_state_dict(swapped)
    forward, backward = network(x).split(3, dim=2)
    expected = torch.cat([backward, forward], dim=2).flip(1)
    torch.testing.assert_close(mirror(x.flip(1)), expected)


def test_the_ungated_recurrence_is_linear_up_to_g():
    torch.manual_seed(4)
    network = UngatedBiRNN(4, 3, activation="tanh")
    x, y = sequences(seed=1) / 9, sequences(seed=2) / 9
    inverse = [torch.atanh(network(z)) for z in (x, y, x + y)]
    torch.testing.assert_close(inverse[2], inverse[0] + inverse[1], rtol=1e-4, atol=1e-5)


def test_the_gated_cell_is_not_linear():
    torch.manual_seed(4)
    network = BiLSTM(4, hidden=3)
    x, y = sequences(seed=1), sequences(seed=2)
    zero = network(torch.zeros_like(x))
    difference = network(x + y) - network(x) - network(y) + zero
    assert difference.abs().max() > 0.01


@pytest.mark.parametrize("by", SERIALISATIONS)
def test_serialising_loses_nothing(by):
    height, width, channels = 4, 6, 3
    feature_map = torch.randn(2, channels, height, width)
    steps = serialise(feature_map, by)
    rows, columns = step_grid(height, width, by)
    assert steps.shape[1] == rows * columns
    if by == "rows":
        back = steps.unflatten(2, (channels, width)).permute(0, 2, 1, 3)
    elif by == "columns":
        back = steps.unflatten(2, (channels, height)).permute(0, 2, 3, 1)
    else:
        back = steps.transpose(1, 2).unflatten(2, (height, width))
    torch.testing.assert_close(back, feature_map, rtol=0, atol=0)


def test_rows_of_a_map_are_columns_of_its_transpose():
    feature_map = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(serialise(feature_map, "rows"), serialise(feature_map.transpose(2, 3), "columns"))


@pytest.mark.parametrize("cell", ["lstm", "ungated"])
@pytest.mark.parametrize("merge", ["concatenate", "equation"])
def test_every_reading_of_q7_has_one_shape_and_trains(cell, merge):
    network = BiLSTM(4, hidden=3, cell=cell, merge=merge)
    out = network(sequences())
    assert out.shape == (3, 5, 6) and network.num_features == 6
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_merging_by_equation_7_is_a_joint_layer_over_both_directions():
    torch.manual_seed(5)
    network, x = BiLSTM(4, hidden=3, merge="equation"), sequences()
    h, k = network.recurrence(x)[0].split(3, dim=2)
    w4, w6 = network.merge.weight[:, :3], network.merge.weight[:, 3:]
    torch.testing.assert_close(network(x), torch.tanh(h @ w4.T + k @ w6.T))


def test_the_plain_lstm_of_the_baselines_is_as_wide_and_looks_back_only():
    torch.manual_seed(6)
    network, x = BiLSTM(4, hidden=3, bidirectional=False), sequences(1)
    changed = x.clone()
    changed[0, -1] += 1
    assert network(x).shape == (1, 5, 6)
    torch.testing.assert_close(network(changed)[:, :-1], network(x)[:, :-1])


def test_a_long_ungated_sequence_stays_bounded_at_the_start_of_training():
    torch.manual_seed(7)
    network = UngatedBiRNN(4, 8)
    h = torch.ones(8)
    for _ in range(100):
        h = network.w2(h)
    assert h.norm() < 1e-3  # its matrix shrinks: 0.9 ** 100


# ------------------------------------------------------------------------------------------------------------ bad input


def test_an_unknown_serialisation_is_named():
    with pytest.raises(ValueError, match=r"wanted one of \('rows', 'columns', 'patches'\) \(Q6\), got 'spiral'"):
        serialise(torch.zeros(1, 1, 2, 2), "spiral")


@pytest.mark.parametrize("options", [{"cell": "gru"}, {"merge": "sum"}])
def test_an_unknown_reading_of_q7_is_named(options):
    with pytest.raises(ValueError, match=f"Q7: wanted cell .* got .*{next(iter(options.values()))!r}"):
        BiLSTM(4, **options)


def test_both_ungated_recurrences_begin_as_shrinking_turns():
    net = UngatedBiRNN(4, 6)
    for w in (net.w2.weight, net.w5.weight):
        torch.testing.assert_close(w.T @ w, 0.81 * torch.eye(6), atol=1e-5, rtol=0)


# ---------------------------------------------------------------------------------------------- the chapter's pictures


@torch.no_grad()
@pytest.mark.parametrize("reverse", [False, True])
def test_the_gates_lead_to_the_lstms_own_states_in_the_order_of_the_sequence(reverse):
    torch.manual_seed(0)
    lstm, x = nn.LSTM(4, 3, batch_first=True, bidirectional=True), sequences(1)
    found = pictures.gates(lstm, x[0].numpy(), reverse)
    states = lstm(x)[0][0, :, 3 * reverse : 3 * reverse + 3].numpy()
    np.testing.assert_allclose(found["hidden"], states, atol=1e-6)
    order = slice(None, None, -1) if reverse else slice(None)
    cell, i, f, g = (found[k][order] for k in ("cell", "input", "forget", "candidate"))
    np.testing.assert_allclose(cell[1:], f[1:] * cell[:-1] + i[1:] * g[1:])


@pytest.mark.usefixtures("styled")
def test_the_reach_of_a_linear_map_is_its_norm():
    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))

    def states(x):
        return torch.cat([torch.zeros(len(x), 1, 3), x[:, :-1] @ w], 1)  # each looks at the step before it

    found = pictures.reach(states, sequences(1)[0])
    np.testing.assert_allclose(found, np.eye(5, k=-1) * float(w.norm()), rtol=1e-6)
    net = torch.nn.LSTM(4, 3, batch_first=True)
    x = sequences(1)[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x[None])[0][0], x)  # (T, h, T, D)
    np.testing.assert_allclose(pictures.reach(lambda x: net(x)[0], x), jacobian.square().sum((1, 3)).sqrt(), rtol=1e-5)
    axes = pictures.reach_maps({"here": found, "there": 2 * found}).axes[:2]
    for panel in axes:  # states down, inputs across
        np.testing.assert_allclose(panel.images[0].get_array(), found / found.max())
    assert axes[0].get_ylabel() == "state at row"


@pytest.mark.usefixtures("styled")
def test_each_face_has_the_bars_of_its_own_saliency():
    faces = {"a": np.zeros((8, 8)), "b": np.ones((8, 8))}
    found = {
        name: {"forward": np.arange(4.0) + k, "backward": np.arange(4.0) + 10 * k} for k, name in enumerate(faces, 1)
    }
    panels = pictures.saliency(faces, found).axes
    for k, name in enumerate(faces):
        assert panels[2 * k].get_title() == name
        for bars, (direction, values) in zip(panels[2 * k + 1].containers, found[name].items(), strict=True):
            assert bars.get_label() == direction and [bar.get_width() for bar in bars] == values.tolist()
            assert [int(bar.get_y() // 2) for bar in bars] == [0, 1, 2, 3]


@pytest.mark.usefixtures("styled")
def test_steps_are_numbered_row_by_row_as_serialise_takes_them():
    grids = {by: step_grid(2, 3, by) for by in ("rows", "patches")}
    _, axes = pictures.serialisations(np.zeros((12, 12)), grids).axes
    places = torch.arange(6.0).view(1, 1, 2, 3)
    steps = serialise(places, "patches").flatten().tolist()
    at = {text.get_text(): text.get_position() for text in axes.texts}
    assert [at[str(t + 1)] for t in range(6)] == [((s % 3 + 0.5) * 4, (s // 3 + 0.5) * 6) for s in steps]
    assert axes.get_title() == "patches: 6 steps"
