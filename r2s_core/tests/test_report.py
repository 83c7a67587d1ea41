"""The report is one file that says what happened and needs nothing else."""

import html.parser
import itertools
import json
import math
import re
import shlex
import xml.etree.ElementTree as ET

import jinja2
import numpy as np
import pytest

from r2s_core.pages import Film, Shot, Strip, write_page
from r2s_core.pages.charts import Mark, interval_chart, line_chart, nice_ticks
from r2s_core.record.history import History
from r2s_core.rendering.pictures import Pictures
from r2s_core.report import write_report

RESULT = {
    "name": "quick<start>",
    "object": "bottle",
    "backend": "mujoco",
    "seed": 3,
    "env_steps": 81920,
    "wall_clock_s": 75.4,
    "compile_s": 8.2,
    "train_steps_per_second": 1086.5,
    "success_rate": 0.9541,
    "success_ci95": [0.9395, 0.9652],
    "task": {
        "success": "held where it should be",
        "objects": ["bottle"],
        "stages": ["reached", "grasped"],
        "headline": {"precise": "success within 1 cm"},
    },
    "headline_rates": {"precise": 0.93},
    "episodes": 1024,
    "stage_rates": {"reached": 1.0, "grasped": 0.99},
    "failures": {"not reached": 7, "lifted, off goal": 40},
    "versions": {"jax": "0.10.2"},
    "hardware": {"cpu": "Some CPU"},
    "rewards": {"reach": 0.5},
}
CONTRACT = {
    "control_rate_hz": 20.0,
    "max_episode_steps": 80,
    "units": "SI",
    "observations": {
        "policy": {
            **{"shape": (6,), "dtype": "float32"},
            "names": (
                *("tip_x", "tip_y", "joint1_angle", "joint2_angle"),
                *("action_x_force_1_ago", "action_x_force_2_ago"),
            ),
        },
        "camera": {"shape": (64, 48, 3), "dtype": "uint8", "names": ()},
    },
    "action": {"size": 2, "names": ("ee_x", "<b>"), "low": (-1.0, -1.0), "high": (1.0, 1.0)},
}
CONFIG = {"name": "quick<start>", "algorithm": "ppo", "environment": {"use": "pick", "goal": "air"}}


def history(updates=40):
    h = History()
    for i in range(1, updates + 1):
        nothing = math.nan if i < 3 else 1 - 1 / i
        h.append(
            {
                "step": i * 2048.0,
                "episode/success": nothing,
                "kl": 0.01 * i,
                "reward/reach": 0.1 * i,
            }
        )
    return h


def test_failures_are_told_by_kind_stage_and_object(tmp_path):
    by_stage = {"lost <it>": {"reached": 30, "grasped": 10}, "late": {"start": 7}}
    task = RESULT["task"] | {"failures": {"lost <it>": "it was held, & lost", "late": "too late"}}
    row = {"episodes": 512, "held_out": False, "success_ci95": [0, 1]}
    objects = [
        row | {"name": "mug", "success_rate": 465 / 512, "failures": {"lost <it>": 40, "late": 7}},
        row | {"name": "can", "success_rate": 1.0, "failures": {}},
    ]
    told = {"failures_by_stage": by_stage, "task": task, "objects": objects}
    told |= {"failures": {"lost <it>": 40, "late": 7}, "metrics": {"late": 0.1, "far_off": 0.2}}
    told |= {"time_to_success_s": {"p10": 1.0, "median": 2.0, "p90": 3.5}}
    path = write_report(tmp_path, RESULT | told, history(), CONFIG)
    text = [line for line in map(str.strip, Page(path.read_text()).text) if line]
    lost = text.index("lost <it>", text.index("what it means"))
    assert text[lost : lost + 6] == [
        *("lost <it>", "40", "3.9 % (2.9 to 5.3)", "30", "10", "it was held, & lost")
    ]
    assert text[lost + 6 : lost + 11] == ["late", "7", "0.7 % (0.3 to 1.4)", "7", "too late"]
    mug = text.index("mug", lost)
    assert text[mug : mug + 5] == ["mug", "512", "90.8 % (88.0 to 93.0)", "40", "7"]
    assert text[mug + 5 : mug + 8] == ["can", "512", "100.0 % (99.3 to 100.0)"]
    assert "2.00 s" in text
    assert "far off" in text
    assert text.count("late") == 3  # the chart, and both tables; no metric beside them


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_one_self_contained_file_with_the_numbers_and_the_configuration(tmp_path):
    video = tmp_path / "video.mp4"
    video.write_bytes(b"mp4")
    shots = [Shot("0.0 s: start <b>", b"\x89PNG fake"), Shot("1.0 s: end", b"\x89PNG", "bad")]
    pictures = Pictures(
        strips=(Strip("failure: not reached", "bad", shots),),
        portraits=(("", b"\x89PNG"),),
        video=video,
        notes=("no GL",),
    )
    path = write_report(tmp_path, RESULT, history(), CONFIG, CONTRACT, pictures)
    page = Page(path.read_text())
    text = " ".join(page.text)

    assert path == tmp_path / "report.html"
    assert all(link.startswith("data:") for link in page.links)
    assert "script" not in page.tags
    for fact in ("95.4 %", "94.0 to 96.5 %", "1,024", "1:15", "quick<start>", "goal: air", "no GL"):
        assert fact in text
    for fact in ("not reached", "lifted, off goal", "What the 47 failed", "Some CPU", "0.10.2"):
        assert fact in text
    for fact in (
        "20 Hz, a step of 50 ms",
        "80 control steps, 4 s",
        "tip 2, joint_angle 2, past actions 2",
    ):
        assert fact in text
    for fact in ("held where it should be", "uint8[64, 48, 3]"):
        assert fact in text
    for fact in ("ee_x, <b>, each in [-1, 1]", "0.5 reach", "(7 of 1,024 episodes)"):
        assert fact in text
    assert page.tags.count("img") == 3
    assert page.tags.count("video") == 1
    assert "final evaluation" in text
    assert text.index("reached") < text.index("grasped") < text.index("within 1 cm")


def seeing_contract(names):
    facts = {"position": (1, 0, 0.75), "quaternion": (1, 0, 0, 0), "size": [48, 64], "mount": "<b>"}
    cameras = {"camera": json.loads(json.dumps(facts))}
    group = {"shape": (len(names),), "dtype": "float32", "names": names}
    observations = {"policy": group, "camera": CONTRACT["observations"]["camera"]}
    return CONTRACT | {"cameras": cameras, "observations": observations}


def test_of_a_policy_that_sees_the_page_tells_what_it_reads_and_shows_what_it_saw(tmp_path):
    reels = [("camera <1>", [Shot(f"{i} s", b"\x89PNG") for i in range(9)])]
    looks = Film("success", "good", [("camera", [Shot("0 s", b"\x89PNG")] * 4)])
    films = (Film("success", "good", reels), Film("failure: not reached", "bad", reels))
    video = tmp_path / "video.mp4"
    video.write_bytes(b"mp4")
    pictures = Pictures(video=video, films=films, looks=looks, beside=("camera",))
    result = RESULT | {
        "only_in_training": {"critic": ["tip_x", "object_x", "object_y"], "expert": ["a", "b"]},
        "auxiliary": {"names": ["object_position_x"], "error": 0.0113},
    }
    contract = seeing_contract(("tip_x", "tip_y"))
    path = write_report(tmp_path, result, history(), CONFIG, contract, pictures)
    page = Page(path.read_text())
    text = " ".join(" ".join(page.text).split())
    for fact in (
        "What the policy reads camera camera 48 x 64 pixels of colour;",
        "carried by <b>, at (1, 0, 0.75) m in its frame, looking along (0, 0, -1)",
        "observes 'policy' 2 numbers: tip 2 true pose of an object not read",
        "'critic', in training only 3 numbers: object 2 and 1 that the policy reads",
        "'expert', in training only what the expert would do",
        "object_position; at the end 11.3 mm off",
        "what the policy saw as it acted: camera",
        "✗ failure: not reached (7 of 1,024 episodes) camera <1>",
        "What it looks at: ✓ success",
    ):
        assert fact in text
    assert "uint8[64, 48, 3]" not in text  # told once, by the camera
    assert page.tags.count("img") == 2 * 9 + 4
    assert page.tags.count("video") == 1


def test_a_policy_that_reads_an_object_is_not_said_to_be_without(tmp_path):
    told = seeing_contract(("tip_x", "object_position_x"))
    assert "true pose" not in write_report(tmp_path, RESULT, history(), CONFIG, told).read_text()
    blind = seeing_contract(())
    del blind["observations"]["policy"]
    text = write_report(tmp_path, RESULT, history(), CONFIG, blind).read_text()
    assert "it reads images alone" in text
    assert "true pose" in text


def test_a_page_about_a_policy_without_cameras_has_nothing_on_them(tmp_path):
    text = write_report(tmp_path, RESULT, history(), CONFIG, CONTRACT).read_text()
    for word in ("What the policy", "What it looks at", 'class="film', 'class="reel'):
        assert word not in text


def test_what_to_do_next_is_a_command_line_whatever_the_folder_is_called(tmp_path):
    folder = tmp_path / "my <run>; rm -rf"
    folder.mkdir()
    page = Page(write_report(folder, RESULT, history(), CONFIG).read_text())
    commands = [line for text in page.text for line in text.splitlines() if "r2s eval" in line]
    assert [shlex.split(line) for line in commands] == [
        ["r2s", "eval", str(folder), "--robustness"]
    ]


@pytest.mark.parametrize(
    "evil", ['"><script>alert(1)</script>', "</style><script>", "\x1b[2J{{ 1 }}"]
)
def test_nothing_in_a_report_is_obeyed(tmp_path, evil):
    result = RESULT | {
        **{"name": evil, "object": evil, "backend": evil, "finished_at": evil, "stopped_by": evil},
        **{"failures": {evil: 3}, "hardware": {evil: evil}, "versions": {evil: evil}},
        "objects": [
            {"name": evil, "held_out": True, "success_rate": 0.5, "success_ci95": [0.4, 0.6]}
        ],
        **{"rewards": {evil: 1.0}, "metrics": {evil: 1.0}},
        "task": {"success": evil, "objects": [evil], "stages": [evil], "headline": {evil: evil}},
        **{"stage_rates": {evil: 0.5}, "headline_rates": {evil: 0.5}},
    }
    told = history()
    told.rows[-1][f"reward/{evil}"] = 1.0
    config = CONFIG | {"environment": {"use": evil}, "randomization": {evil: {}}, evil: evil}
    strips = (Strip(evil, "bad", [Shot(evil, b"png")]),)
    pictures = Pictures(strips, ((evil, b"png"),), None, (evil,))
    text = write_report(tmp_path, result, told, config, CONTRACT, pictures).read_text()
    assert "<script" not in text
    assert "\x1b" not in text
    assert Page(text).tags.count("style") == 1


def test_a_run_without_evaluation_or_training_still_gets_a_report(tmp_path):
    result = {k: v for k, v in RESULT.items() if "success" not in k} | {"episodes": 0}
    text = write_report(tmp_path, result, History(), CONFIG).read_text()
    assert "not evaluated" in text
    assert "Nothing was trained" in text
    assert "--robustness" not in text


def test_a_template_that_lacks_a_fact_fails(tmp_path):
    with pytest.raises(jinja2.UndefinedError):
        write_page(tmp_path / "page.html", "report.html", {"title": "a"})
    assert not (tmp_path / "page.html").exists()


def test_the_final_evaluation_is_a_point_on_the_curve_of_success():
    curves = {"reached": [(0, 0.5), (100, 1.0)], "success": [(0, 0.0), (100, 0.8)]}
    mark = Mark("final", 100, 0.9, 0.85, 0.95, "success")
    svg = line_chart(curves, percent=True, marks=[mark])
    [(x, y)] = re.findall(r'class="dot c1" cx="([0-9.]+)" cy="([0-9.]+)"', svg)
    _, success = points_of(svg, "raw")
    assert float(x) == pytest.approx(success[-1][0], abs=0.2)
    assert float(y) < success[-1][1]  # better than the training's last
    assert "dot" not in line_chart({"reached": curves["reached"]}, percent=True, marks=[mark])


def points_of(svg, css):
    ET.fromstring(svg)  # it is well formed
    lines = re.findall(rf'class="{css} c\d" points="([^"]*)"', svg)
    return [[tuple(map(float, p.split(","))) for p in line.split()] for line in lines]


def test_a_curve_lies_where_its_numbers_say():
    svg = line_chart({"a": [(0, 0.0), (50, 0.5), (100, 1.0)]}, percent=True)
    [line] = points_of(svg, "raw")
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y2  # up is up


def test_smoothing_keeps_a_straight_line_and_averages_noise():
    straight = [(float(i), 2.0 * i) for i in range(200)]
    raw, smooth = (points_of(line_chart({"a": straight}), c)[0] for c in ("raw", "line"))
    np.testing.assert_allclose(smooth, raw, atol=0.15)
    noise = [(float(i), float(i % 2)) for i in range(200)]
    [smooth] = points_of(line_chart({"a": noise}, percent=True), "line")
    middle = smooth[20:-20]
    assert max(y for _, y in middle) - min(y for _, y in middle) < 40


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show():
    svg = line_chart({"a": [(0, 0.0), (1, 1e-3), (2, 1e-2), (3, 1e-1)]}, log=True)
    [line] = points_of(svg, "raw")
    heights = [y for _, y in line]
    assert len(line) == 3
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)


def test_nothing_measured_is_no_chart():
    assert line_chart({"a": []}) == ""
    assert line_chart({"a": [(1, -1.0)]}, log=True) == ""


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.9, 43.2), (-3, 3), (5, 5), (0, 0), (1e-5, 2e-5), (-1e6, -999_000)]
)
def test_ticks_enclose_the_data_in_round_steps(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low <= high <= ticks[-1]
    assert 3 <= len(ticks) <= 9
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in itertools.pairwise(ticks)}
    assert steps == {1.0}


def test_intervals_are_zoomed_and_say_so():
    near_one = interval_chart([("success", 0.97, 0.95, 0.98)])
    assert "90 %" in near_one
    assert ">0 %" not in near_one
    assert ">0 %" in interval_chart([("success", 0.97, 0.95, 0.98), ("lifted", 0.4, 0.3, 0.5)])


def test_a_long_name_leaves_its_interval_room():
    for name in ("duck", "a_scan_with_quite_a_long_name_of_its_own (not trained on)"):
        svg = interval_chart([(name, 0.97, 0.92, 0.98)])
        [(x1, x2)] = re.findall(
            r'class="whisker c0" x1="([0-9.]+)" y1="[0-9.]+" x2="([0-9.]+)"', svg
        )[:1]
        assert float(x2) - float(x1) > 100


def test_a_long_history_is_thinned_but_its_totals_are_not():
    h = History()
    for i in range(10_000):
        h.append(
            {"step": float(i), "episode/count": 2.0, "episode/success": 0.5, "env/diverged": 1}
        )
    assert h.episodes == 20_000
    assert h.diverged == 10_000
    steps = [row["step"] for row in h.rows]
    assert 500 <= len(steps) <= 2000
    assert len(set(np.diff(steps))) == 1
    again = History(h.saved())
    again.append({"step": 10_000.0})
    h.append({"step": 10_000.0})
    assert again.saved() == h.saved()


def test_recent_success_waits_for_enough_episodes_and_forgets_old_ones():
    h = History()
    h.append({"step": 1.0, "episode/count": 499, "episode/success": 0.0})
    assert h.recent_success() is None
    h.append({"step": 2.0, "episode/count": 400, "episode/success": 1.0})
    assert h.recent_success() == pytest.approx(400 / 899)
    h.append({"step": 3.0, "episode/count": 0, "episode/success": math.nan})
    h.append({"step": 4.0, "episode/count": 400, "episode/success": 1.0})
    assert h.recent_success() == 1.0
