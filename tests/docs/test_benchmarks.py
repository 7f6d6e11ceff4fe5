import os
import runpy
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))

import ablation_peers  # noqa: E402
import apart  # noqa: E402
import clock  # noqa: E402
import compiled  # noqa: E402
import contenders  # noqa: E402
import machine  # noqa: E402
import occlusion  # noqa: E402
import table  # noqa: E402
import trained  # noqa: E402
from small_runs import small_recipe, write_splits  # noqa: E402


def test_contenders_take_turns_and_every_other_round_goes_backwards():
    ran, now = [], [0.0]

    def taking(name, seconds):
        def work():
            ran.append(name)
            now[0] += seconds[ran.count(name) - 1]

        return work

    work = {"a": taking("a", [9, 1, 2, 3]), "b": taking("b", [9, 2, 8, 3])}
    times = clock.interleaved(work, rounds=3, warm_up=1, clock=lambda: now[0])
    assert "".join(ran) == "ab" + "ab" + "ba" + "ab"
    assert times == {"a": [1, 2, 3], "b": [2, 8, 3]}


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    # 2, 4, 1: their median is 2; the ratio of the medians would be 3 / 2.
    ratios = clock.ratios({"ours": [1, 2, 3], "theirs": [2, 8, 3]}, base="ours")
    assert ratios == {"theirs": {"median": 2, "lower": 1.5, "upper": 3, "min": 1, "max": 4}}


def test_one_round_has_no_spread():
    assert set(clock.spread([0.123456]).values()) == {0.12346}


def test_peak_memory_is_that_of_the_call():
    if (peak := clock.peak_memory(partial, torch.ones, 200 * 2**18)) is None:
        pytest.skip("only Linux tells")
    assert 195 < peak < 240


def test_a_report_becomes_a_section(tmp_path, capsys):
    asked = Namespace(threads=0, device="cpu", out=tmp_path, short=False)
    report = clock.Report("mining", "How long?", asked)
    report.add({"network": "net"}, {"a": [1.0, 1.0], "b": [2.0, 2.0]}, "a", {"error": 2e-7})
    report.add({"network": "two"}, {"a": [1.0, 1.0]}, "a")
    report.note(clock.why_missing("torch"))
    report.note(clock.why_missing("no-such-peer"))
    report.save()
    lines = table.page(tmp_path).splitlines()
    assert "| network | a (s) | b (s) | b / a | error |" in lines
    assert "| net | 1 (1 to 1) | 2 (2 to 2) | 2 (2 to 2) | 2e-07 |" in lines
    assert "| two | 1 (1 to 1) |  |  |  |" in lines
    left_out = "- no-such-peer is left out: it is not installed (pip install -e '.[bench]')."
    assert [line for line in lines if "left out" in line] == [left_out]


def test_the_page_is_that_of_the_committed_results():
    assert table.PAGE.read_text() == table.page(table.RESULTS), "run python benchmarks/table.py"


def test_the_short_table_is_that_of_the_committed_results():
    readme = table.README.read_text()
    assert table.with_summary(readme, table.RESULTS) == readme, "run python benchmarks/table.py"


def report_of(name, folder, kernels):
    report = clock.Report(
        name, "How fast?", Namespace(threads=0, device="cpu", out=folder, short=False)
    )
    report.found["machine"] |= {"cpu": "Chip", "cores": 2, "kernels": kernels}
    return report


def compare(report, peers, memory=None, **what):
    """Add peers that take a number of times as long as ours, which takes two seconds."""
    times = {"ours": [2.0] * 3} | {name: [2 * ratio] * 3 for name, ratio in peers.items()}
    report.add(what | ({"memory": memory} if memory else {}), times, "ours")


def test_the_short_tables_have_equal_memory_first_and_every_machine(tmp_path):
    first = report_of("occlusion", tmp_path, "AVX512")
    at = {"network": "net", "window": 8, "stride": 4}
    compare(first, {"plain loop": 6, "Captum": 10}, "default malloc", **at)
    compare(first, {"plain loop": 2, "Captum": 10}, "trimming disabled", **at)
    compare(first, {"plain loop": 9}, "trimming disabled", **at | {"stride": 8})
    first.save()
    second = report_of("occlusion", tmp_path / "avx2", "AVX2")
    peers = {"plain loop": 3, "compiled loop": 2.5, "MONAI": 4}
    compare(second, peers, "trimming disabled", **at)
    second.save()
    third = report_of("ablation", tmp_path, "AVX512")
    compare(third, {"loop": 7}, "default malloc", network="net", filters=3, images=5)
    third.save()
    before, after = (f"# Title\n\n{table.MARKS[0]}", f"{table.MARKS[1]}\n\nMore.\n")
    found = table.with_summary(f"{before}old\n{after}", tmp_path)
    assert found.startswith(before)
    assert found.endswith(after)
    assert found[len(before) : -len(after)].splitlines() == [
        "Equal memory settings (glibc trimming disabled for all):",
        "",
        "| speed-up over | batched loop, AVX-512 | Captum, AVX-512 | batched loop, AVX2 | "
        "torch.compile, AVX2 |",
        "| --- | --- | --- | --- | --- |",
        "| occlusion, 8 px every 4: net | 2 | 10 | 3 | 2.5 |",
        "",
        "As users run them (default malloc for the others):",
        "",
        "| speed-up over | batched loop, AVX-512 | Captum, AVX-512 |",
        "| --- | --- | --- |",
        "| occlusion, 8 px every 4: net | 6 | 10 |",
        "| ablation, 3 filters on 5 images: net | 7 | - |",
    ]


def test_a_section_leads_with_the_ratios_of_all_machines_side_by_side(tmp_path):
    for kernels, ratio in (("AVX512", 4.0), ("AVX2", 3.0)):
        report = report_of("occlusion", tmp_path / kernels.lower(), kernels)
        compare(report, {"loop": 2 * ratio}, "default malloc", network="net")
        compare(report, {"loop": ratio}, "trimming disabled", network="net")
        report.note("The same for both.")
        report.save()
    lines = table.page(tmp_path).removeprefix(table.HEAD).splitlines()
    assert [line for line in lines if line.startswith(("#", "**", "| net", "- The"))] == [
        "## How fast?",
        "**Equal memory settings (glibc trimming disabled for all)**",
        "| network | loop / ours, AVX2 | loop / ours, AVX-512 |",
        "| net | 3 | 4 |",
        "**As users run them (default malloc for the others)**",
        "| network | loop / ours, AVX2 | loop / ours, AVX-512 |",
        "| net | 6 | 8 |",
        "### AVX2: Chip, 2 cores",
        "| network | memory | ours (s) | loop (s) | loop / ours |",
        "| net | trimming disabled | 2 (2 to 2) | 6 (6 to 6) | 3 (3 to 3) |",
        "| net | default malloc | 2 (2 to 2) | 12 (12 to 12) | 6 (6 to 6) |",
        "- The same for both.",
        "### AVX-512: Chip, 2 cores",
        "| network | memory | ours (s) | loop (s) | loop / ours |",
        "| net | trimming disabled | 2 (2 to 2) | 8 (8 to 8) | 4 (4 to 4) |",
        "| net | default malloc | 2 (2 to 2) | 16 (16 to 16) | 8 (8 to 8) |",
    ]


def test_each_kind_of_machine_has_its_results_in_a_folder(monkeypatch):
    assert clock.results_of("AVX512", "cpu") == clock.RESULTS
    assert clock.results_of("AVX2", "cpu") == clock.RESULTS / "avx2"
    assert clock.results_of("AVX512", "cuda:1") == clock.RESULTS / "cuda"
    for limit in machine.LIMITS:
        monkeypatch.delenv(limit, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert machine.machine()["kernels"] == "AVX2"
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert machine.machine()["kernels"] == "AVX2 (ATEN_CPU_CAPABILITY=avx2)"
    assert clock.results_of(machine.kernels(), "cpu") == clock.RESULTS / "avx2"


PROGRAMS = [p.name for p in sorted(BENCHMARKS.glob("*.py")) if "\nif __name__ ==" in p.read_text()]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_tells_how_to_use_it(program, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / program), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_contenders_apart_are_prepared_once_and_each_in_its_own_process(tmp_path):
    with apart.apart(
        {"a": (contenders.marking, tmp_path, 1), "b": (contenders.marking, tmp_path, 2)}
    ) as work:
        work["b"]()
        work["b"]()
        work["a"]()
    lines = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert [number for number, _ in lines] == ["1", "2", "2", "2", "1"]  # once in preparation
    assert len({*map(tuple, lines)}) == 2
    assert len({process for _, process in lines} | {str(os.getpid())}) == 3


def test_a_contender_that_fails_says_why():
    with (
        pytest.raises(RuntimeError, match="no such network"),
        apart.apart({"a": (contenders.failing,)}),
    ):
        pass


def test_a_network_is_trained_once_with_gradients_and_then_found(tmp_path):
    recipe = small_recipe(write_splits(tmp_path / "colours"), epochs=1)
    torch.set_grad_enabled(False)  # as in a contender, and as in `evaluating`
    try:
        run = trained.trained(recipe, tmp_path / "run")
        written = (run / "model.safetensors").stat().st_mtime_ns
        assert trained.trained(recipe, tmp_path / "run") == run
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert (run / "model.safetensors").stat().st_mtime_ns == written
    case = trained.Case("small", run, 1, 1, "shapes")
    assert trained.classifier_of(case).find_layers("all")[1].filters == 6


def test_the_command_of_a_report_can_be_typed():
    words = ["/home/me/benchmarks/occlusion.py", "--network", "two words", "--photos", "/data/own"]
    typed = "python benchmarks/occlusion.py --network 'two words' --photos own"
    assert clock._command(words) == typed


def test_a_fixed_batch_size_is_filled_up_and_cut_off():
    sizes = []

    def doubled(inputs):
        sizes.append(len(inputs))
        return inputs.flatten(1).sum(1) * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda network, **_options: network)
        outputs = compiled.compiled(doubled, 4)
    inputs = torch.arange(1.0, 4.0).reshape(3, 1, 1, 1)
    assert outputs(inputs).tolist() == [2, 4, 6]
    assert sizes == [4]


def test_why_a_network_cannot_be_compiled_is_a_sentence():
    assert compiled._seconds(contenders.not_compiling) == (
        "torch.compile is left out: it failed (InvalidCxxCompiler: No working C++ compiler found)."
    )


def test_the_others_are_extrapolated_to_the_windows_of_ours():
    times = {"ours, 16 px every 8": [1.0], "plain loop": [2.0], "Captum": [3.0]}
    found = occlusion._extrapolated(times, "ours, 16 px every 8", ["plain loop", "Captum"], 199, 49)
    # Captum evaluates 200 and 50 images, as one of them has no window.
    assert found == {"ours": [1.0], "plain loop": [pytest.approx(2 * 199 / 49)], "Captum": [12.0]}


def test_the_mask_of_a_compiled_network_ablates_any_filter(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, **_options: network)
    case = trained.Case(trained.NARROW, None, 3, 4, "shapes")
    classifier = trained.classifier_of(case)
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    loop = ablation_peers.Loop(classifier, classifier.normalised(pixels))
    layer = loop.layers[1]
    expected = [loop.ablated(layer, number, 3) for number in (2, 0)]
    run = ablation_peers.masked(loop, layer, 2)  # the second batch is filled up
    for number, outputs in zip((2, 0), expected, strict=True):
        torch.testing.assert_close(run(number), outputs)
    assert not torch.equal(*expected)
    assert sum(each.filters for each in loop.layers) == 244
