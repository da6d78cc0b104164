"""What each eviction policy keeps, against simulations that are written out number by number."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tierkeep.errors import SettingsError  # noqa: E402
from tierkeep_transformers import (  # noqa: E402 - only where the extra is installed
    H2O,
    SPKV,
    DBTrimKV,
    FullCache,
    GateSet,
    HeadMix,
    LazyEviction,
    Need,
    Plain,
    Policy,
    RandomEviction,
    RetentionGate,
    SnapKV,
    StreamingLLM,
    TrimKV,
    attach,
)
from tierkeep_transformers.eviction import evict, evict_jointly, ranked  # noqa: E402
from tierkeep_transformers.families import layout_of  # noqa: E402
from tierkeep_transformers.slots import Slots  # noqa: E402

HEADS, DIM = 2, 16


def build(family: str = "Qwen3", **changes: Any) -> Any:
    """Return a tiny decoder whose attention is far from uniform."""
    settings = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": HEADS, "head_dim": DIM, "max_position_embeddings": 512, "initializer_range": 0.2, **changes,
    }  # fmt: skip
    if family == "Gemma2":
        settings |= {"sliding_window": 8, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": DIM}
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


def gates_of(model: Any) -> GateSet:
    """Return gates that differ from token to token."""
    torch.manual_seed(1)
    gates = GateSet.fresh(layout_of(model), hidden=8, bias=3.0)
    for parameter in gates.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    return gates


def any_gates() -> GateSet:
    """Return gates for tests that tell the slots themselves."""
    return GateSet({0: RetentionGate(4, HEADS, hidden=2)})


def every(gates: GateSet, budget: int) -> dict[str, Policy]:
    """Return one or two of each policy."""
    common: dict[str, Any] = {"budget": budget, "buffer": 4}
    static = {0: (True, False), 1: (False, True)}
    policies: dict[str, Policy] = {
        "streaming": StreamingLLM(**common),
        "random": RandomEviction(**common),
        "trimkv": TrimKV(gates=gates, **common),
        "h2o": H2O(**common),
        "h2o-normalised": H2O(recent_frac=0, normalise=True, **common),
        "snapkv": SnapKV(window=6, **common),
        "snapkv-max": SnapKV(window=6, pool="max", **common),
        "lazy": LazyEviction(budget=budget, window=6, alpha=0.05),
        "spkv": SPKV(budget=budget, buffer=2, window=6, threshold=0.97, gates=gates),
        "dbtrimkv": DBTrimKV(gates=gates, floor=2, ceiling=2 * budget, **common),
        "mix": HeadMix(dynamic=SnapKV(window=6, **common), static=static, sinks=2, static_recent=6),
        "mix-lazy": HeadMix(dynamic=LazyEviction(budget=budget, window=6, alpha=0.05), static=static, sinks=2, static_recent=20),
    }
    return policies


NAMES = list(every(any_gates(), 16))


@pytest.fixture(scope="module")
def qwen() -> Any:
    return build()


@pytest.fixture(scope="module")
def gemma() -> Any:
    return build("Gemma2")


def told(policy: Policy, count: int, *, batch: int = 1, heads: int = HEADS, generator: Any = None) -> dict[Need, Any]:
    """Return what gates would say of new tokens."""
    return {Need.GATE: -torch.rand(batch, heads, count, generator=generator)} if Need.GATE in policy.needs else {}


def append(policy: Policy, slots: Slots, count: int, *, batch: int = 1, gate: Any = None, real: Any = None) -> None:
    """Give a layer new tokens, with random keys."""
    key = torch.randn(batch, HEADS, count, DIM)
    slots.append(key, key, real, policy.columns(slots, {Need.GATE: gate} if gate is not None else told(policy, count, batch=batch), key))


def weights_of(count: int, length: int, batch: int = 1) -> Any:
    """Return random causal attention of the last `count` of `length` slots, peaked so that thresholds matter."""
    logits = 3 * torch.randn(batch, HEADS, count, length)
    future = torch.ones(count, length, dtype=torch.bool).triu(length - count + 1)
    return logits.masked_fill(future, -torch.inf).softmax(-1)


# ------------------------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_that_suffices_changes_nothing(qwen: Any, name: str) -> None:
    policy = every(gates_of(qwen), 64)[name]
    if isinstance(policy, HeadMix):
        policy = HeadMix(dynamic=policy.dynamic, static=policy.static, static_recent=64)
    if isinstance(policy, SPKV):
        policy = SPKV(budget=64, window=64, gates=policy.gates)
    ids = torch.randint(1, 64, (2, 40), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        stock = qwen(ids).logits
        with attach(qwen, policy) as bounded:
            cache = bounded.new_cache()
            parts = [qwen(part, **bounded.past(cache)).logits for part in ids.split([25, 13, 1, 1], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), stock, atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 13])
@pytest.mark.parametrize("name", NAMES)
def test_no_head_holds_more_than_the_policy_says(qwen: Any, name: str, chunk: int) -> None:
    policy = every(gates_of(qwen), 16)[name]
    ids = torch.randint(1, 64, (2, 39), generator=torch.Generator().manual_seed(3))
    evicted = False
    with torch.no_grad(), attach(qwen, policy) as bounded:
        cache = bounded.new_cache()
        for fed, part in enumerate(ids.split(chunk, dim=1)):
            qwen(part, **bounded.past(cache))
            assert cache.get_seq_length() == (fed + 1) * chunk
            for index, layer in cache.bounded.items():
                assert layer.slots.length <= policy.most(index)
                assert layer.slots.peak <= policy.most(index) + chunk
                evicted |= layer.slots.evicted > 0
    assert evicted


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dbtrimkv"])
def test_scoring_never_changes_what_is_kept_of_a_slot(name: str) -> None:
    policy = every(any_gates(), 16)[name]
    torch.manual_seed(4)
    slots = Slots(0, Plain(), policy.most(0))
    append(policy, slots, 30)
    slots.state |= {"window": torch.randn(1, 4, 6, DIM), "window_real": torch.ones(1, 6, dtype=torch.bool)}
    if Need.ATTENTION in policy.needs:
        policy.observe(slots, weights_of(30, 30), torch.arange(30), None)
    before = {key: column.clone() for key, column in slots.columns().items()}
    first, second = ranked(policy, slots), ranked(policy, slots)
    assert torch.equal(first, second)
    first.fill_(torch.inf)
    policy.score(slots).fill_(torch.inf)
    assert before.keys() == slots.columns().keys()
    assert all(torch.equal(column, before[key]) for key, column in slots.columns().items())


def test_the_newer_of_two_equal_slots_stays() -> None:
    policy = TrimKV(budget=8, buffer=0, gates=any_gates())
    slots = Slots(0, Plain(), policy.most(0))
    append(policy, slots, 20, gate=torch.zeros(1, HEADS, 20))
    evict(policy, slots)
    assert slots.position[0].tolist() == [list(range(12, 20))] * HEADS


@pytest.mark.parametrize(
    "make",
    [
        lambda g: StreamingLLM(budget=1.5),  # type: ignore[arg-type]
        lambda g: StreamingLLM(budget=True, sinks=0),
        lambda g: StreamingLLM(budget=[8, None]),  # type: ignore[list-item]
        lambda g: RandomEviction(budget="8"),  # type: ignore[arg-type]
        lambda g: StreamingLLM(budget=8, buffer=2.5),  # type: ignore[arg-type]
        lambda g: StreamingLLM(budget=8, recent=1.5),  # type: ignore[arg-type]
        lambda g: StreamingLLM(budget=8, sinks=1.5),  # type: ignore[arg-type]
        lambda g: H2O(budget=8, recent_frac=1.5),
        lambda g: H2O(budget=8, recent_frac=-0.1),
        lambda g: SnapKV(budget=8, window=9),
        lambda g: SnapKV(budget=8, window=0),
        lambda g: SnapKV(budget=8, kernel=4),
        lambda g: SnapKV(budget=8, kernel=-1),
        lambda g: SnapKV(budget=8, pool="mean"),  # type: ignore[arg-type]
        lambda g: LazyEviction(budget=8, alpha=0.0),
        lambda g: LazyEviction(budget=8, window=9),
        lambda g: LazyEviction(budget=8, window=2.5),  # type: ignore[arg-type]
        lambda g: LazyEviction(budget=8, form="ours"),  # type: ignore[arg-type]
        lambda g: SPKV(budget=8, gates=None),  # type: ignore[arg-type]
        lambda g: SPKV(budget=8, gates=g, threshold=1.0),
        lambda g: SPKV(budget=8, gates=g, window=9),
        lambda g: DBTrimKV(budget=8, gates=g, horizon=0),
        lambda g: DBTrimKV(budget=8, gates=g, floor=9),
        lambda g: DBTrimKV(budget=8, gates=g, ceiling=7),
        lambda g: HeadMix(dynamic=DBTrimKV(budget=8, gates=g), static={}),
        lambda g: HeadMix(dynamic=H2O(budget=8), static={}, static_recent=0),
        lambda g: HeadMix(dynamic=H2O(budget=8), static={}, sinks=-1),
    ],
    ids=[
        "budget-fraction", "budget-bool", "budget-none", "budget-text", "buffer-fraction", "recent-fraction", "sinks-fraction",
        "share-high", "share-low", "window-over-budget", "window-0", "kernel-even", "kernel-negative", "pool", "alpha-0", "lazy-window",
        "lazy-fraction", "form", "no-gates", "threshold-1", "spkv-window", "horizon-0", "floor", "ceiling", "mix-joint", "mix-recent",
        "mix-sinks",
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(make: Any) -> None:
    with pytest.raises(SettingsError):
        make(any_gates())


def test_defaults_of_windows_give_way_to_a_small_budget() -> None:
    assert [SnapKV(budget=1024).window, SnapKV(budget=16).window] == [32, 8]
    assert [LazyEviction(budget=1024).window, LazyEviction(budget=16).window, LazyEviction(budget=16).buffer] == [64, 8, 8]
    assert [RandomEviction(budget=one).recent for one in (1024, 16, 1, [1024, 16])] == [32, 8, 0, 8]
    assert [SPKV(budget=1024, gates=any_gates()).window, SPKV(budget=16, gates=any_gates()).window] == [128, 8]


# ------------------------------------------------------------------------------------------------------------------ TRIM-KV


def test_trimkv_evicts_what_a_loop_over_heads_and_slots_would() -> None:
    torch.manual_seed(5)
    budget, steps = 6, 40
    policy = TrimKV(budget=budget, buffer=0, gates=any_gates())
    slots = Slots(0, Plain(), policy.most(0))
    log_beta = -torch.rand(1, HEADS, steps)
    held: list[list[int]] = [[] for _ in range(HEADS)]
    for step in range(steps):
        append(policy, slots, 1, gate=log_beta[:, :, step : step + 1])
        evict(policy, slots)
        for head, positions in enumerate(held):
            positions.append(step)
            if len(positions) > budget:
                scores = [(step + 1 - position) * log_beta[0, head, position].item() for position in positions]
                positions.pop(scores.index(min(scores)))
        assert slots.position[0].tolist() == held


# -------------------------------------------------------------------------------------------------------------- H2O, SnapKV


def attention_of(model: Any, ids: Any, layer: int) -> Any:
    """Return the stock attention matrix of a layer, by KV head: the mean of each group's query heads, (KV heads, queries, slots)."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = model(ids, output_attentions=True).attentions[layer][0]
    model.set_attn_implementation(before)
    return weights.reshape(HEADS, -1, *weights.shape[1:]).mean(1)


def votes_of(matrix: Any, window: int, kernel: int, pool: str) -> list[list[float]]:
    """Return SnapKV's votes for the slots before the window, one number after the other."""
    result = []
    length = matrix.shape[1]
    for head in matrix.tolist():
        plain = [sum(head[row][slot] for row in range(length - window, length)) / window for slot in range(length - window)]
        reach = kernel // 2
        around = [[plain[j] if 0 <= j < len(plain) else 0.0 for j in range(i - reach, i + reach + 1)] for i in range(len(plain))]
        result.append([sum(near) / kernel if pool == "avg" else max(near) for near in around])
    return result


@pytest.mark.parametrize("family", ["qwen", "gemma"])
@pytest.mark.parametrize("normalise", [False, True], ids=["sum", "normalised"])
def test_h2o_keeps_the_newest_and_the_heavy_hitters(request: Any, family: str, normalise: bool) -> None:
    model = request.getfixturevalue(family)
    ids = torch.randint(1, 64, (1, 30), generator=torch.Generator().manual_seed(6))
    policy = H2O(budget=12, buffer=0, normalise=normalise, recent_frac=0.25)
    with torch.no_grad(), attach(model, policy) as bounded:
        cache = bounded.new_cache()
        model(ids, **bounded.past(cache))
    layer = min(cache.bounded)
    total = attention_of(model, ids, layer).sum(1)
    if normalise:
        total = total / (30 - torch.arange(30))
    for head in range(HEADS):
        heavy = sorted(range(27), key=lambda slot: -total[head, slot].item())[:9]
        assert cache.bounded[layer].slots.position[0, head].tolist() == [*sorted(heavy), 27, 28, 29]


@pytest.mark.parametrize("family", ["qwen", "gemma"])
@pytest.mark.parametrize("pool", ["avg", "max"])
def test_snapkv_keeps_what_the_window_votes_for(request: Any, family: str, pool: Any) -> None:
    model = request.getfixturevalue(family)
    ids = torch.randint(1, 64, (1, 30), generator=torch.Generator().manual_seed(7))
    policy = SnapKV(budget=12, buffer=0, window=6, kernel=3, pool=pool)
    with torch.no_grad(), attach(model, SnapKV(budget=64, window=6)) as bounded:
        cache = bounded.new_cache()
        for part in ids.split([27, 3], dim=1):  # the window is remembered across calls
            model(part, **bounded.past(cache))
    for layer, one in cache.bounded.items():
        votes = votes_of(attention_of(model, ids, layer), 6, 3, pool)
        scores = policy.score(one.slots)
        torch.testing.assert_close(scores[0, :, :24], torch.tensor(votes), atol=1e-6, rtol=1e-5)
        evict(policy, one.slots)
        for head in range(HEADS):
            best = sorted(range(24), key=lambda slot: (-scores[0, head, slot].item(), -slot))[:6]
            assert one.slots.position[0, head].tolist() == [*sorted(best), *range(24, 30)]


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_slots_that_do_not_count_are_nobodys_neighbours(pool: Any) -> None:
    torch.manual_seed(15)
    policy = SnapKV(budget=8, window=2, kernel=3, pool=pool)
    holes = torch.tensor([True] * 6 + [False, False] + [True] * 8)
    ragged, dense = Slots(0, Plain(), 64), Slots(0, Plain(), 64)
    append(policy, ragged, 16)
    append(policy, dense, 16)
    columns = ragged.columns()
    state = {"window": torch.randn(1, 4, 2, DIM), "window_real": torch.ones(1, 2, dtype=torch.bool)}
    ragged.fill({**columns, "valid": holes.expand(1, HEADS, 16)}, state, 16)
    dense.fill({name: column[:, :, holes] for name, column in columns.items()}, state, 16)
    torch.testing.assert_close(policy.score(ragged)[..., holes], policy.score(dense))


def test_groups_vote_with_their_mean(qwen: Any) -> None:
    """A model whose KV heads are repeated for each query head gives the same scores, but for the mean of each group."""
    expanded = build(num_key_value_heads=4)
    state = qwen.state_dict()
    for name in list(state):
        if "k_proj" in name or "v_proj" in name:
            state[name] = state[name].unflatten(0, (HEADS, DIM)).repeat_interleave(2, 0).flatten(0, 1)
    expanded.load_state_dict(state)
    ids = torch.randint(1, 64, (1, 30), generator=torch.Generator().manual_seed(8))
    for policy in (H2O(budget=64), SnapKV(budget=64, window=6)):
        scores = []
        for model in (qwen, expanded):
            with torch.no_grad(), attach(model, policy) as bounded:
                cache = bounded.new_cache()
                model(ids, **bounded.past(cache))
            scores.append(policy.score(cache.bounded[1].slots))
        torch.testing.assert_close(scores[0], scores[1].unflatten(1, (HEADS, 2)).mean(2), atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------- LazyEviction


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("chunk", [1, 5])
def test_lazyeviction_is_its_scalar_simulation(form: Any, chunk: int) -> None:
    torch.manual_seed(9)
    budget, window, alpha, steps = 10, 4, 0.12, 60
    policy = LazyEviction(budget=budget, window=window, alpha=alpha, form=form)
    slots = Slots(0, Plain(), policy.most(0))
    held: list[dict[int, list[int]]] = [{} for _ in range(HEADS)]  # position: [TS, MRI]
    for start in range(0, steps, chunk):
        append(policy, slots, chunk)
        weights = weights_of(chunk, slots.length)
        rows = torch.arange(start, start + chunk)
        policy.observe(slots, weights[:, :, : chunk // 2], rows[: chunk // 2], None) if chunk > 1 else None  # in two blocks of queries
        policy.observe(slots, weights[:, :, chunk // 2 :], rows[chunk // 2 :], None)
        evict(policy, slots)
        for head, state in enumerate(held):
            state.update({step: [step, 0] for step in range(start, start + chunk)})
            for query in range(chunk):
                step = start + query
                for place, one in enumerate(state.values()):
                    if weights[0, head, query, place] >= alpha:
                        one[:] = [step, max(one[1], step - one[0])]
            now = start + chunk - 1
            if len(state) > budget and any((step + 1) % window == 0 for step in range(start, start + chunk)):
                newest = [position for position in state if position > now - window]
                rest = [position for position in state if position <= now - window]
                worth = {position: simulated_score(now - state[position][0], state[position][1], form) for position in rest}
                best = sorted(rest, key=lambda position: (-worth[position], -position))[: budget - window]
                held[head] = {position: state[position] for position in sorted(best + newest)}
        assert slots.position[0].tolist() == [list(state) for state in held]
        assert slots["active"][0].tolist() == [[one[0] for one in state.values()] for state in held]
        assert slots["recurrence"][0].tolist() == [[one[1] for one in state.values()] for state in held]
    assert any(one[1] > 1 for one in held[0].values())


def simulated_score(age: int, recurrence: int, form: str) -> float:
    lag = age / (recurrence + 1e-5) + (1 if form == "code" else 0)
    first = 2 / (1 + math.exp(min(lag, 700)))
    return first + (2 / (1 + math.exp(recurrence - 1)) if recurrence > 0 else 0)


# -------------------------------------------------------------------------------------------------------------------- SP-KV


def test_spkv_holds_the_window_and_what_is_above_the_threshold() -> None:
    torch.manual_seed(10)
    policy = SPKV(budget=30, buffer=0, window=5, threshold=0.6, gates=any_gates())
    slots = Slots(0, Plain(), policy.most(0))
    utility = torch.rand(1, HEADS, 50)
    for step in range(50):
        append(policy, slots, 1, gate=utility[:, :, step : step + 1].log())
        evict(policy, slots)
        for head in range(HEADS):
            # What the next query reads: it stands at step + 1.
            wanted = [i for i in range(step + 1) if step + 1 - i < 5 or utility[0, head, i] >= 0.6]
            valid = slots.valid[0, head] if slots.valid is not None else slice(None)
            assert slots.position[0, head][valid].tolist() == wanted
    density = slots.held() / slots.seen
    assert 0.3 < density.mean() < 0.6  # a uniform utility is above 0.6 for 40 % of the tokens


def test_spkv_spills_the_lowest_utility_above_the_cap() -> None:
    torch.manual_seed(11)
    policy = SPKV(budget=12, buffer=0, window=5, threshold=0.01, gates=any_gates())
    slots = Slots(0, Plain(), policy.most(0))
    utility = 0.1 + 0.9 * torch.rand(1, HEADS, 40)
    append(policy, slots, 40, gate=utility.log())
    evict(policy, slots)
    for head in range(HEADS):
        best = sorted(range(36), key=lambda i: -utility[0, head, i].item())[:8]
        assert slots.position[0, head].tolist() == [*sorted(best), 36, 37, 38, 39]


# ----------------------------------------------------------------------------------------------------------------- DBTrimKV


def joint(policy: DBTrimKV, steps: int, scale: Any, batch: int = 1) -> list[Slots]:
    """Return layers after some tokens, one by one, whose gates forget at a pace of their own."""
    layers = [Slots(index, Plain(), policy.most(index)) for index in range(2)]
    generator = torch.Generator().manual_seed(12)
    per_head = policy.budget_of(0) + max(policy.buffer - 1, 0)
    for _ in range(steps):
        for index, slots in enumerate(layers):
            append(policy, slots, 1, batch=batch, gate=-torch.rand(batch, HEADS, 1, generator=generator) * scale[index])
        evict_jointly(policy, layers)
        assert sum(int(slots.held()[0].sum()) for slots in layers) <= 2 * HEADS * per_head
        assert all(slots.length <= policy.most(slots.layer) for slots in layers)
    return layers


def test_dbtrimkv_shares_one_budget_and_keeps_floors_and_ceilings() -> None:
    scale = [torch.tensor([1.0, 0.5])[:, None], torch.tensor([0.1, 0.001])[:, None]]
    policy = DBTrimKV(budget=10, buffer=0, gates=any_gates(), floor=3, ceiling=18, horizon=64)
    layers = joint(policy, 50, scale)
    held = torch.stack([slots.held()[0] for slots in layers])
    assert held.sum() == 40
    assert held.min() >= 3
    assert held.max() == 18  # the head that forgets least would take more


@pytest.mark.parametrize("buffer", [0, 8])
def test_dbtrimkv_keeps_the_best_of_all_heads_in_each_row(buffer: int) -> None:
    torch.manual_seed(13)
    policy = DBTrimKV(budget=8, buffer=buffer, gates=any_gates(), ceiling=1000, horizon=50)
    layers = [Slots(index, Plain(), policy.most(index)) for index in range(2)]
    gates = [-torch.rand(2, HEADS, 30) * 0.3 for _ in layers]
    for slots, gate in zip(layers, gates, strict=True):
        append(policy, slots, 30, batch=2, gate=gate)
    evict_jointly(policy, layers)
    for row in range(2):
        worth = {
            (layer, head, i): sum(math.exp(gates[layer][row, head, i].item() * (30 - i + more)) for more in range(50))
            for layer in range(2) for head in range(HEADS) for i in range(30)
        }  # fmt: skip
        best = set(sorted(worth, key=lambda key: -worth[key])[:32])
        kept = set()
        for layer, slots in enumerate(layers):
            for head in range(HEADS):
                valid = slots.valid[row, head] if slots.valid is not None else slice(None)
                kept |= {(layer, head, i) for i in slots.position[row, head][valid].tolist()}
        assert kept == best


def test_the_future_utility_is_the_sum_that_it_stands_for() -> None:
    policy = DBTrimKV(budget=8, gates=any_gates(), horizon=200)
    slots = Slots(0, Plain(), policy.most(0))
    log_beta = -torch.tensor([0.0, 1e-9, 1e-4, 0.02, 1.0, 8.0]).expand(1, HEADS, 6)
    append(policy, slots, 6, gate=log_beta)
    ages = 6 - torch.arange(6)
    steps = torch.arange(200)
    sums = (log_beta[0, 0, :, None].double() * (ages[:, None] + steps)).logsumexp(-1).float()
    torch.testing.assert_close(policy.score(slots)[0, 0], sums, atol=1e-4, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------------------ HeadMix


def test_static_heads_keep_sinks_and_recent_tokens_and_the_others_follow_their_policy() -> None:
    torch.manual_seed(14)
    dynamic = TrimKV(budget=20, buffer=0, gates=any_gates())
    policy = HeadMix(dynamic=dynamic, static={0: (False, True)}, sinks=2, static_recent=5)
    mixed, alone = (Slots(0, Plain(), 64) for _ in range(2))
    for _ in range(40):
        gate = -torch.rand(1, HEADS, 1)
        append(policy, mixed, 1, gate=gate)
        append(dynamic, alone, 1, gate=gate)
        evict(policy, mixed)
        evict(dynamic, alone)
    valid = mixed.valid
    assert valid is not None
    assert mixed.position[0, 1][valid[0, 1]].tolist() == [0, 1, 35, 36, 37, 38, 39]
    assert mixed.position[0, 0][valid[0, 0]].tolist() == alone.position[0, 0].tolist()
    assert [policy.most(0), policy.most(1)] == [20, 20]


def test_a_layer_of_static_heads_only_is_small() -> None:
    policy = HeadMix(dynamic=TrimKV(budget=20, buffer=0, gates=any_gates()), static={0: (True, True)}, sinks=2, static_recent=5)
    slots = Slots(0, Plain(), policy.most(0))
    append(policy, slots, 40)
    evict(policy, slots)
    assert policy.most(0) == slots.length == 7


def test_flags_for_another_number_of_heads_are_refused(qwen: Any) -> None:
    policy = HeadMix(dynamic=H2O(budget=8), static={0: (True, False, True)})
    with torch.no_grad(), attach(qwen, policy) as bounded, pytest.raises(SettingsError, match="2 KV heads"):
        qwen(torch.ones(1, 12, dtype=torch.long), **bounded.past(bounded.new_cache()))


def test_the_full_cache_is_never_cut() -> None:
    slots = Slots(0, Plain(), 10)
    append(FullCache(), slots, 100)
    evict(FullCache(), slots)
    assert slots.length == 100
