"""The page of a run: one self-contained HTML file that tells a reviewer what was done, checked and found."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from playbook.criteria import judge
from playbook.errors import PlaybookError
from playbook.files import write_atomically
from playbook.report.notebooks import notebook_page
from playbook.report.tables import checks_table, claims_table, criteria_table
from playbook.report.views import View, diff_view, table
from playbook.results import PhaseResult

_SCHEMA = 1
_LONGEST_VALUE = 4000  # characters of one recorded value on the page; result.json has all of it

_STATES = {
    "signed_off": ("good", "✓ signed off"),
    "stopped": ("bad", "✗ stopped"),
    "running": ("note", "… not finished"),
    "pending": ("idle", "– not run"),
}


def render_run(run_dir: Path) -> Path:
    """Write `index.html` of a run, and its executed notebooks as HTML next to them.

    Args:
        run_dir: The run's folder with `result.json` (schema 1). Its texts must be masked already.

    Returns:
        The path of `index.html`. The page needs no network, no script and no other file, but for the links.

    Raises:
        PlaybookError: There is no readable `result.json` of this schema.
    """
    result = _load(run_dir / "result.json")
    criteria = judge(PhaseResult.model_validate(phase) for phase in result["phases"])
    phases = [_phase(run_dir, phase, result["timings"].get(phase["name"])) for phase in result["phases"]]
    page = (
        environment()
        .get_template("run.html.j2")
        .render(
            result=result,
            phases=phases,
            verdict=_verdict(phases),
            totals=_totals(phases),
            criteria_view=_html(criteria_table(criteria)),
        )
    )
    target = run_dir / "index.html"
    write_atomically(target, page)
    return target


def environment() -> Environment:
    """Return the templates. Everything is escaped unless it is marked as HTML."""
    found = Environment(
        loader=PackageLoader("playbook.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["json"] = _json
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlaybookError(f"cannot read {path} ({error}); run the playbook again to write it") from error
    if not isinstance(result, dict) or result.get("schema") != _SCHEMA:
        raise PlaybookError(f"{path} is not of schema {_SCHEMA}; run the playbook again with this version")
    return result


def _phase(run_dir: Path, phase: Mapping[str, Any], timing: Mapping[str, Any] | None) -> dict[str, Any]:
    css, state = _STATES[phase["status"]]
    failed = [check for check in phase["checks"] if not check["ok"]]
    refuted = [claim for claim in phase["claims"] if not claim["holds"]]
    return {
        **phase,
        "css": css,
        "state": state,
        "failed": failed,
        "refuted": refuted,
        "seconds": timing["seconds"] if timing else None,
        "started": timing["started"] if timing else None,
        "measured": timing.get("measured", {}) if timing else {},
        "check_view": _html(checks_table(phase["checks"])),
        "claim_view": _html(claims_table(phase["claims"])),
        "change_view": _html(table(phase["changes"], ["path", "kind", "added", "removed"]))
        if phase["changes"]
        else None,
        "refusal_view": _html(table(phase["refusals"], ["path", "line", "construct", "reason"]))
        if phase["refusals"]
        else None,
        "evidence": [check for check in phase["checks"] if check["evidence"] is not None],
        "figures": list(_figures(run_dir, phase["figures"])),
        "files": list(_files(_inside(run_dir, phase["diff"]))),
        "page": _notebook(run_dir, phase),
    }


def _html(view: View) -> Markup:
    return Markup(view.html)  # noqa: S704 - views escape whatever they show


def _inside(run_dir: Path, relative: str | None) -> Path | None:
    """Return a file of the run; None if it is not there or would lie elsewhere."""
    if not relative:
        return None
    path = (run_dir / relative).resolve()
    return path if path.is_file() and path.is_relative_to(run_dir.resolve()) else None


def _figures(run_dir: Path, figures: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    for figure in figures:
        if path := _inside(run_dir, figure["path"]):
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            yield {"caption": figure["caption"], "source": f"data:image/png;base64,{data}"}


def _files(diff: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the files of a unified diff with their coloured lines and the counts of changed ones."""
    lines: list[str] = []
    text = diff.read_text(encoding="utf-8").splitlines() if diff else []
    for place, line in enumerate(text):
        following = text[place + 1] if place + 1 < len(text) else ""
        begins = line.startswith("diff --git ") or (line.startswith("--- ") and following.startswith("+++ "))
        if begins and any(kept.startswith("+++ ") for kept in lines):
            yield _file(lines)
            lines = []
        lines.append(line)
    if lines:
        yield _file(lines)


def _file(lines: list[str]) -> dict[str, Any]:
    names = [line[4:].split("\t")[0] for line in lines if line.startswith(("+++ ", "--- "))][:2]
    name = next((name for name in reversed(names) if name != "/dev/null"), "changes")
    body = lines[next((n for n, line in enumerate(lines) if line.startswith("@@")), 0) :]
    return {
        "name": name.removeprefix("b/").removeprefix("a/"),
        "added": sum(line.startswith("+") for line in body),
        "removed": sum(line.startswith("-") for line in body),
        "view": _html(diff_view("\n".join(body))),
    }


def _notebook(run_dir: Path, phase: Mapping[str, Any]) -> str | None:
    """Write the phase's notebook as HTML next to it; return its path relative to the run."""
    source = _inside(run_dir, phase["notebook"])
    page = notebook_page(source, f"{phase['name']} {phase['title']}", environment()) if source else None
    if source is None or page is None:
        return None
    write_atomically(source.with_suffix(".html"), page)
    return Path(phase["notebook"]).with_suffix(".html").as_posix()


def _verdict(phases: list[dict[str, Any]]) -> dict[str, str]:
    """Return the sentence on top of the page."""
    done = [phase for phase in phases if phase["status"] == "signed_off"]
    stopped = [phase for phase in phases if phase["status"] == "stopped"]
    if stopped:
        message = stopped[0]["message"] or "no reason was recorded"
        return {"css": "bad", "title": f"Stopped in {stopped[0]['name']}", "text": message}
    if len(done) == len(phases):
        return {"css": "good", "title": "All phases signed off", "text": "Every check of every phase passed."}
    title = f"{len(done)} of {len(phases)} phases signed off" if done else "Nothing has signed off yet"
    following = next(phase["name"] for phase in phases if phase["status"] != "signed_off")
    return {"css": "note", "title": title, "text": f"Next is {following}."}


def _totals(phases: list[dict[str, Any]]) -> list[tuple[str, str]]:
    checks = [check for phase in phases for check in phase["checks"]]
    claims = [claim for phase in phases for claim in phase["claims"]]
    refusals = sum(len(phase["refusals"]) for phase in phases)
    seconds = sum(phase["seconds"] or 0 for phase in phases)
    return [
        ("checks passed", f"{sum(check['ok'] for check in checks)} of {len(checks)}"),
        ("claims of the guide that hold", f"{sum(claim['holds'] for claim in claims)} of {len(claims)}"),
        ("files changed", str(sum(len(phase["changes"]) for phase in phases))),
        ("left to do by hand", str(refusals)),
        ("time", f"{seconds:.0f} s"),
    ]


def _json(value: Any) -> str:
    """Return a recorded value as text, cut where a page would become a data file."""
    text = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    )
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}\n… {len(text) - _LONGEST_VALUE} more characters are in result.json"
