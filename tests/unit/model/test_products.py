import platform
from collections.abc import Iterator
from threading import Event

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mtkit.model import products
from mtkit.model.few_rows import FewRows
from mtkit.model.products import (
    add_crossed,
    by_onednn,
    crossed_by_onednn,
    has_onednn,
    is_made_for_mkl,
    is_short_of_kernels,
    linear,
    packed,
    prefers_onednn,
    product,
)

SHAPES = [(2, 3, 4), (15, 8, 2), (33, 7, 20), (16, 1, 1), (77, 9, 4), (203, 4, 9)]  # rows, in, out
needs_onednn = pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is asked once a process is asked again, and what is said here is not remembered."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for asked in (has_onednn, is_made_for_mkl, prefers_onednn):
        asked.cache_clear()
    yield
    for asked in (has_onednn, is_made_for_mkl, prefers_onednn):
        asked.cache_clear()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_layer_and_its_gradients_are_torchs(
    shape: tuple[int, int, int], bias: bool, library: str
) -> None:
    rows, width, out = shape
    torch.manual_seed(1)
    ours, theirs = products.Linear(width, out, bias=bias), nn.Linear(width, out, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    for states in (torch.randn(rows, width), torch.randn(2, width, rows).mT, torch.randn(1, width)):
        told = torch.randn(*states.shape[:-1], out)
        for layer in (ours, theirs):
            layer.zero_grad()
        found, wanted = (one.detach().clone().requires_grad_() for one in (states, states))
        torch.testing.assert_close(ours(found), theirs(wanted), rtol=1e-4, atol=1e-5)
        ours(found).backward(told)
        theirs(wanted).backward(told)
        for one, other in zip((found, *ours.parameters()), (wanted, *theirs.parameters()), strict=True):
            assert one.grad is not None
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_where_the_memory_holds_no_further_kernel_mkl_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    states, weight, bias = torch.randn(20, 16), torch.randn(9, 16), torch.randn(9)
    laid_out, few = packed(weight, 8), FewRows(weight, bias)
    tried: list[str] = []

    def fail(*_: object) -> None:
        tried.append("here")
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(products, "_short", Event())
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", fail)
    assert not is_short_of_kernels()
    wanted = F.linear(states, weight, bias)
    assert laid_out is not None
    for found in (by_onednn(states, weight, bias), by_onednn(states, laid_out, bias)):
        torch.testing.assert_close(found, wanted)
    assert is_short_of_kernels()
    assert len(tried) == 2
    for found in (linear(states, weight, bias), few(states), product(states, weight.mT) + bias):
        torch.testing.assert_close(found, wanted)
    assert len(tried) == 2, "what is known is not tried again"


def test_another_error_of_onednn_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("could not execute a primitive")

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", fail)
    with pytest.raises(RuntimeError, match="execute"):
        by_onednn(torch.ones(16, 4), torch.ones(3, 4))
    assert not is_short_of_kernels()


@needs_onednn
def test_few_numbers_of_rows_are_multiplied_and_as_many_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    met: set[int] = set()
    met_packed: set[int] = set()
    real = products._multiplied

    def counted(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if weight.is_mkldnn:
            met_packed.add(rows.size(0))
        else:
            met.add(rows.size(1) if crossing else rows.size(0))
        return real(rows, weight, bias)

    monkeypatch.setattr(products, "_multiplied", counted)
    torch.manual_seed(1)
    wide, narrow, bias = torch.randn(7, 4), torch.randn(3, 4), torch.randn(7)
    laid_out = packed(wide, 8)
    assert laid_out is not None
    round_numbers = {*range(2, 9), *range(16, 129, 8), *range(192, 321, 64)}
    for crossing in (False, True):
        met.clear()
        for count in range(2, 320):
            rows = torch.randn(count, 4)
            if crossing:
                left = rows @ narrow.T
                for one, other in ((left, rows), (rows, left)):
                    found = crossed_by_onednn(one, other)
                    torch.testing.assert_close(found, one.T @ other, rtol=1e-4, atol=1e-4)
            else:
                torch.testing.assert_close(by_onednn(rows, wide, bias), F.linear(rows, wide, bias))
                torch.testing.assert_close(by_onednn(rows, laid_out, bias), F.linear(rows, wide, bias))
                torch.testing.assert_close(by_onednn(rows, narrow), F.linear(rows, narrow))
        assert met == round_numbers - ({320} if crossing else set())
    for count in range(320, 650):
        rows = torch.randn(count, 4)
        torch.testing.assert_close(by_onednn(rows, laid_out, bias), F.linear(rows, wide, bias))
    assert met_packed == {*range(2, 9), *range(16, 129, 8), *range(144, 513, 16), 576, 640, 704}


@needs_onednn
def test_biases_and_operands_may_lie_anyhow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    states, weight = torch.randn(20, 12)[:, ::2], torch.randn(6, 10).T[::2]
    for bias in (torch.randn(10)[::2], torch.randn(1).expand(5)):
        torch.testing.assert_close(linear(states, weight, bias), F.linear(states, weight, bias))


def test_only_wanted_gradients_are_computed_and_only_what_they_need_is_kept(library: str) -> None:
    def told(**wanted: bool) -> tuple[list[torch.Tensor | None], int]:
        made = {"states": torch.ones(9, 4), "weight": torch.full((5, 4), 2.0), "bias": torch.ones(5)}
        parts = {name: tensor.requires_grad_(wanted.get(name, False)) for name, tensor in made.items()}
        kept: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
            found = linear(**parts)
        if wanted:
            found.sum().backward()  # type: ignore[no-untyped-call]
        assert found.requires_grad is bool(wanted)
        return [tensor.grad for tensor in parts.values()], len(kept)

    assert told() == ([None, None, None], 0)
    of_states, kept = told(states=True)
    assert of_states[0] is not None and of_states[0].tolist() == [[10.0] * 4] * 9
    assert of_states[1:] == [None, None] and kept == 1
    of_weight, kept = told(weight=True)
    assert of_weight[1] is not None and of_weight[1].tolist() == [[9.0] * 4] * 5 and kept == 1
    of_bias, kept = told(bias=True)
    assert of_bias[2] is not None and of_bias[2].tolist() == [9.0] * 5 and kept == 0
    with torch.no_grad():
        assert not linear(torch.ones(9, 4, requires_grad=True), torch.ones(5, 4)).requires_grad


@needs_onednn
def test_it_is_differentiated_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    states, weight = torch.randn(9, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    found = linear(states, weight).square().sum()
    (gradient,) = torch.autograd.grad(found, states, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


def test_what_comes_out_may_be_changed_in_place(library: str) -> None:
    states, weight = torch.ones(2, 9, 4), torch.ones(5, 4, requires_grad=True)
    found = linear(states, weight)
    found[..., 0].mul_(2)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.tolist() == [[36.0] * 4, *[[18.0] * 4] * 4]


def test_no_row_and_no_column_make_what_torch_makes(library: str) -> None:
    for states, weight in ((torch.ones(0, 4), torch.ones(5, 4)), (torch.ones(2, 4), torch.ones(0, 4))):
        torch.testing.assert_close(linear(states, weight), F.linear(states, weight))


def test_products_are_torchs(library: str) -> None:
    left, right = torch.randn(26, 15), torch.randn(15, 13)
    torch.testing.assert_close(product(left, right), left @ right)
    torch.testing.assert_close(product(right.T, left.T), right.T @ left.T)
    batched = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
    torch.testing.assert_close(product(*batched), batched[0] @ batched[1])


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("out", "width"), [(3, 7), (7, 3)])
def test_crossed_products_are_added(out: int, width: int, kind: torch.dtype, library: str) -> None:
    left, right, total = (
        torch.randn(25, out).to(kind),
        torch.randn(25, width).to(kind),
        torch.ones(out, width),
    )
    wanted = total + (left.T @ right).float()
    add_crossed(total, left, right)
    torch.testing.assert_close(total, wanted, rtol=1e-2 if kind == torch.bfloat16 else 1e-5, atol=1e-5)


def test_in_bfloat16_and_under_autocast_torch_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    monkeypatch.setattr(products, "by_onednn", lambda *_: pytest.fail("asked"))
    states, weight = torch.ones(13, 4), torch.ones(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(states, weight).dtype == torch.bfloat16
    assert linear(states.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    assert linear(states.double(), weight.double()).dtype == torch.float64


@needs_onednn
def test_a_packed_matrix_multiplies_as_it_did() -> None:
    states, weight, bias = torch.randn(9, 6), torch.randn(4, 6), torch.randn(4)
    laid_out = packed(weight, 8)
    assert laid_out is not None
    torch.testing.assert_close(by_onednn(states, laid_out, bias), F.linear(states, weight, bias))
    assert packed(weight.bfloat16(), 8) is None


@needs_onednn
@pytest.mark.parametrize(
    ("machine", "vendor", "capability", "preferred"),
    [
        ("x86_64", "AuthenticAMD", "AVX512", True),
        ("AMD64", "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", "AVX512", True),
        ("x86_64", "AuthenticAMD", "AVX2", False),
        ("x86_64", "GenuineIntel", "AVX512", False),
        ("AMD64", "Intel64 Family 6 Model 140 Stepping 1, GenuineIntel", "AVX512", False),
        ("x86_64", "", "AVX512", False),
        ("aarch64", "", "DEFAULT", False),
    ],
)
def test_intels_processors_and_those_with_256_bits_are_left_to_intels_library(
    machine: str, vendor: str, capability: str, preferred: bool, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(products, "cpu_vendor", lambda: vendor)
    assert prefers_onednn() is preferred
    assert is_made_for_mkl() is ("GenuineIntel" in vendor)


@pytest.mark.parametrize("broken", ["absent", "refused", "wrong"])
def test_where_torch_has_no_such_products_mkl_makes_them(
    broken: str, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(rows: torch.Tensor, *_: object) -> torch.Tensor:
        if broken == "refused":
            raise NotImplementedError
        return torch.zeros(rows.size(0), 5)

    if broken == "absent":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    else:
        monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", wrong)
    monkeypatch.setattr(products, "cpu_vendor", lambda: "AuthenticAMD")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not has_onednn() and not prefers_onednn()
    assert packed(torch.randn(4, 6), 8) is None
    states, weight = torch.randn(3, 6), torch.randn(4, 6)
    torch.testing.assert_close(linear(states, weight), states @ weight.T)


@needs_onednn
def test_what_surrounds_the_first_question_does_not_answer_it(fresh: None) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"), torch.inference_mode():
        assert has_onednn()
