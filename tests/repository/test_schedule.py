"""What deploy/schedule/ holds is read by the programs that it is for, and calls `embed` rightly."""

from __future__ import annotations

import argparse
import ast
import contextlib
import http.server
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import threading
import types
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from cronsim import CronSim, CronSimError

from corpusvec.pipeline.flags import embed as embed_flags
from corpusvec.pipeline.flags import parsing, snapshots
from corpusvec.pipeline.flags.commands import COMMANDS
from corpusvec.pipeline.terminal.exits import DONE, FAILED, INTERRUPTED, NOT_PUBLISHED, WRONG_USAGE
from corpusvec.transforms.measures import names
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "schedule"
README = (FOLDER / "README.md").read_text("utf-8")
UNITS = sorted(FOLDER.glob("*.service")) + sorted(FOLDER.glob("*.timer"))
PROGRAM = "/opt/corpusvec/.venv/bin/corpusvec"


# ------------------------------------------------------------------------------------- systemd


def unit(path: Path) -> dict[str, dict[str, str]]:
    """Sections of settings, each once, by the rules of systemd.syntax(7)."""
    joined = re.sub(r"\\\n", " ", path.read_text("utf-8"))
    found: dict[str, dict[str, str]] = {}
    section = None
    for line in joined.splitlines():
        if not line or line.startswith(("#", ";")):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            assert match[1] not in found
            section = found.setdefault(match[1], {})
            continue
        match = re.fullmatch(r"([A-Z]\w+)=(.*\S)?", line)
        assert match, line
        assert section is not None
        assert match[1] not in section, line
        section[match[1]] = match[2] or ""
    return found


SERVICE = unit(FOLDER / "corpusvec.service")
PRUNING = unit(FOLDER / "corpusvec-prune.service")
TIMER = unit(FOLDER / "corpusvec.timer")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_has_the_sections_of_its_kind(path):
    kind = {".service": "Service", ".timer": "Timer"}[path.suffix]
    assert {"Unit", kind} <= set(unit(path)) <= {"Unit", kind, "Install"}
    assert unit(path)["Unit"]["Description"]


def test_systemd_itself_reads_them(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for path in UNITS:  # it looks whether the program is there
        (tmp_path / path.name).write_text(path.read_text("utf-8").replace(PROGRAM, sys.executable))
    files = [f"./{path.name}" for path in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", *files], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    when = TIMER["Timer"]["OnCalendar"]
    subprocess.run(["systemd-analyze", "calendar", when], check=True, capture_output=True)


def test_the_timer_makes_up_for_missed_nights_and_spreads_machines():
    timer = TIMER["Timer"]
    assert "Unit" not in timer  # so it starts the service of its own name
    assert timer["Persistent"] == "yes"
    assert timer["RandomizedDelaySec"]
    assert TIMER["Install"] == {"WantedBy": "timers.target"}
    assert "Install" not in SERVICE


def test_the_service_fails_as_the_program_does():
    settings = SERVICE["Service"]
    assert settings["Type"] == "oneshot"
    assert "SuccessExitStatus" not in settings  # 3 is a failure as 1 is
    never_again = {int(code) for code in settings["RestartPreventExitStatus"].split()}
    assert never_again == {WRONG_USAGE, NOT_PUBLISHED, INTERRUPTED}
    assert FAILED not in never_again
    hook = SERVICE["Unit"]["OnFailure"].replace("@%n.service", "@.service")
    told = unit(FOLDER / hook)["Service"]["ExecStart"]
    assert "%i" in told


def test_the_service_may_write_what_it_writes():
    settings = SERVICE["Service"]
    assert settings["ProtectSystem"] == "strict"
    folders = [f"/var/lib/{name}" for name in settings["StateDirectory"].split()]
    folders += [f"/var/cache/{name}" for name in settings["CacheDirectory"].split()]
    flags = embed_call(shlex.split(settings["ExecStart"]))
    assert os.path.dirname(flags.output) in folders
    assert os.path.dirname(flags.metrics_file) in folders
    assert flags.model_cache in folders
    assert settings["UMask"] == "0022"  # node_exporter is another user
    assert all(text.replace("%n", "").count("%") == 0 for text in SERVICE["Unit"].values())
    assert "%" not in settings["ExecStart"]


def test_pruning_is_a_unit_of_its_own_after_a_run_that_succeeded():
    """So that neither fails with the other; it may do what the run may, and no more."""
    assert SERVICE["Unit"]["OnSuccess"] == "corpusvec-prune.service"
    assert [name for name in SERVICE["Service"] if name.startswith("Exec")] == ["ExecStart"]
    assert PRUNING["Unit"]["OnFailure"] == SERVICE["Unit"]["OnFailure"]
    assert "Install" not in PRUNING
    run, prune = SERVICE["Service"], PRUNING["Service"]
    for name in prune.keys() - {"ExecStart", "TimeoutStartSec", "StateDirectory"}:
        assert prune[name] == run[name]
    output = prune_call(shlex.split(prune["ExecStart"])).output
    assert os.path.dirname(output) == f"/var/lib/{prune['StateDirectory']}"
    assert prune["StateDirectory"] in run["StateDirectory"].split()


# ---------------------------------------------------------------------------------------- calls


def embed_call(words: list[str]) -> argparse.Namespace:
    """What a command line asks of `embed`; everything in it is a flag of its."""
    assert words[:2] == [PROGRAM, "embed"]
    parser = parsing.Parser(allow_abbrev=False)
    embed_flags.add_embed_flags(parser)
    if "--if_running" not in parser._option_string_actions:
        parser.add_argument("--if_running", choices=("wait", "fail"))
    flags = parser.parse_args(words[2:])
    parsing.refuse_incomplete(flags, COMMANDS["embed"].needs)
    parsing.refuse_twice(flags, words)
    return flags


def prune_call(words: list[str]) -> argparse.Namespace:
    """What a command line asks of `snapshots prune`."""
    assert words[:3] == [PROGRAM, "snapshots", "prune"]
    parser = parsing.Parser(allow_abbrev=False)
    snapshots.add_prune_flags(parser)
    return parser.parse_args(words[3:])


def crontab() -> tuple[str, str]:
    """When, and which command: of the one line that is no comment."""
    lines = (FOLDER / "crontab").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if line and not line.startswith("#")]
    *when, command = line.split(maxsplit=5)
    return " ".join(when), command


def dag_source() -> dict:
    """The constants of the DAG's file, which are literals."""
    tree = ast.parse((FOLDER / "corpusvec_dag.py").read_text("utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    }


def calls() -> dict[str, list[str]]:
    command = crontab()[1]
    return {
        "systemd": shlex.split(SERVICE["Service"]["ExecStart"]),
        "cron": shlex.split(command[: command.index(" >>")]),
        "airflow": dag_source()["EMBED"],
    }


def prunes() -> dict[str, list[str]]:
    command = crontab()[1].partition(" && ")[2]
    return {
        "systemd": shlex.split(PRUNING["Service"]["ExecStart"]),
        "cron": shlex.split(command[: command.index(" >>")]),
        "airflow": dag_source()["PRUNE"],
    }


@pytest.mark.parametrize("which", prunes())
def test_each_prunes_the_output_that_it_writes(which):
    flags = prune_call(prunes()[which])
    assert flags.output == embed_call(calls()[which]).output
    assert (flags.keep, flags.dry_run, flags.handed_over) == (7, False, False)


@pytest.mark.parametrize("code", [DONE, FAILED, NOT_PUBLISHED])
def test_cron_prunes_after_a_run_that_succeeded_alone(code, tmp_path):
    program, log = tmp_path / "corpusvec", tmp_path / "corpusvec.log"
    program.write_text(f'#!/bin/sh\necho "$1"\n[ "$1" = embed ] && exit {code}\nexit 1\n')
    program.chmod(0o755)
    command = crontab()[1].replace(PROGRAM, str(program))
    command = command.replace("/var/lib/corpusvec/corpusvec.log", str(log))
    subprocess.run(["sh", "-c", command], capture_output=True)
    assert log.read_text().split() == ["embed", *["snapshots"] * (code == DONE)]


@pytest.mark.parametrize("which", calls())
def test_each_calls_embed_with_flags_that_it_has(which):
    flags = embed_call(calls()[which])
    assert flags.input == ["/srv/corpus/*.json"]
    assert (flags.if_running, flags.log_format) == ("fail", "json")
    assert flags.metrics_file.endswith(".prom")
    for place in (*flags.input, flags.output, flags.metrics_file, "/opt/corpusvec"):
        assert f"| `{place}` |" in README


def test_the_crontab_line_is_one_for_cron():
    when, command = crontab()
    start = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
    runs = CronSim(when, start)
    assert [next(runs) for _ in range(2)] == [
        datetime(2026, 11, day, 4, 30, tzinfo=timezone.utc) for day in (23, 24)
    ]
    with pytest.raises(CronSimError):
        CronSim(f"{when} {command.split()[0]}", start)
    assert "%" not in command  # there it is a new line
    subprocess.run(["sh", "-n", "-c", command], check=True)


# -------------------------------------------------------------------------------------- airflow


class Task:
    """What a fake operator is told."""

    def __init__(self, **arguments):
        self.__dict__.update(arguments)
        self.after: list[str] = []
        Dag.current.tasks[self.task_id] = self

    def __rshift__(self, other: Task) -> Task:
        other.after.append(self.task_id)
        return other


class Dag:
    """What a fake DAG is told, and the tasks that are made in it."""

    current: Dag

    def __init__(self, **arguments):
        self.__dict__.update(arguments)
        self.tasks: dict[str, Task] = {}

    def __enter__(self) -> Dag:
        Dag.current = self
        return self

    def __exit__(self, *exception) -> None:
        pass


LAYOUTS = {
    "Airflow 2": ("airflow", "airflow.operators.bash"),
    "Airflow 3": ("airflow.sdk", "airflow.providers.standard.operators.bash"),
}


def fakes(layout: str) -> dict[str, types.ModuleType]:
    """Modules under Airflow's names, with what the file takes from each."""
    of_dag, of_operator = LAYOUTS[layout]
    found = {}
    for name in (of_dag, of_operator):
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = types.ModuleType(".".join(parts[:length]))
            module.__path__ = []
            found.setdefault(module.__name__, module)
    found[of_dag].DAG = Dag  # type: ignore[attr-defined]
    found[of_operator].BashOperator = Task  # type: ignore[attr-defined]
    return found


@pytest.fixture(params=LAYOUTS)
def told(request, monkeypatch) -> dict:
    """The names of the DAG's file, run against a fake Airflow."""
    for name in [name for name in sys.modules if name.split(".")[0] == "airflow"]:
        monkeypatch.delitem(sys.modules, name)
    for name, module in fakes(request.param).items():
        monkeypatch.setitem(sys.modules, name, module)
    return runpy.run_path(str(FOLDER / "corpusvec_dag.py"))


def test_the_dag_runs_each_night_one_at_a_time(told):
    dag = told["dag"]
    assert next(CronSim(dag.schedule, datetime(2026, 1, 1))).hour == 4
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.start_date.tzinfo is not None
    assert list(dag.tasks) == ["embed", "published", "prune", "night"]
    assert dag.tasks["published"].after == ["embed"]
    assert dag.default_args["on_failure_callback"] is told["tell"]
    tries = timedelta()
    for task in (dag.tasks["embed"], dag.tasks["prune"]):
        tries += (task.retries + 1) * task.execution_timeout + task.retries * task.retry_delay
    assert tries < dag.dagrun_timeout < timedelta(days=1)


def test_the_night_ends_as_its_run_did_whatever_became_of_pruning(told):
    """Airflow takes the end of the last task for that of all."""
    tasks = told["dag"].tasks
    assert tasks["prune"].after == ["published"]
    assert not hasattr(tasks["prune"], "trigger_rule")  # only where all before it went well
    assert (tasks["night"].after, tasks["night"].trigger_rule) == (["prune"], "all_done")
    assert tasks["night"].bash_command == tasks["published"].bash_command
    assert tasks["night"].retries == 0
    assert tasks["night"].on_failure_callback is None
    never_embedded = tasks["night"].bash_command.replace(
        "{{ ti.xcom_pull(task_ids='embed') }}", "None"
    )
    assert subprocess.run(["bash", "-c", never_embedded], capture_output=True).returncode != 0


AGAIN = {DONE: False, FAILED: True, WRONG_USAGE: False, NOT_PUBLISHED: False, INTERRUPTED: True}


@pytest.mark.parametrize("code", AGAIN)
def test_what_another_try_would_not_mend_is_not_tried_again(told, code, tmp_path):
    """The tasks' commands, by bash, with a program that ends with `code`."""
    program = tmp_path / "corpusvec"
    program.write_text(f"#!/bin/sh\necho '{{}}'\nexit {code}\n")
    program.chmod(0o755)
    embed, published, *_ = told["dag"].tasks.values()
    command = embed.bash_command.replace(PROGRAM, str(program))
    first = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert first.returncode == (code if AGAIN[code] else 0)
    assert embed.retries > published.retries == 0
    if not AGAIN[code]:
        handed_on = first.stdout.splitlines()[-1]  # which Airflow keeps of a BashOperator
        expression = "{{ ti.xcom_pull(task_ids='embed') }}"
        assert expression in published.bash_command
        command = published.bash_command.replace(expression, handed_on)
        assert subprocess.run(["bash", "-c", command]).returncode == code


def test_a_failed_task_is_told(told, monkeypatch):
    posted = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    task = types.SimpleNamespace(dag_id="corpusvec", task_id="published", log_url="http://log")
    context = {"task_instance": task, "exception": "exit code 3"}
    monkeypatch.delenv("CORPUSVEC_ALARM_URL", raising=False)
    told["tell"](context)
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("CORPUSVEC_ALARM_URL", f"http://127.0.0.1:{server.server_port}/")
        told["tell"](context)
    assert posted == [{"text": "corpusvec.published failed: exit code 3 http://log"}]


def test_airflow_itself_reads_it(tmp_path):
    """In a process of its own: Airflow writes into its home when it is imported."""
    script = (
        "import sys\n"
        "try:\n"
        "    from airflow.dag_processing.dagbag import DagBag\n"
        "except ImportError:\n"
        "    from airflow.models import DagBag\n"
        "bag = DagBag(sys.argv[1])\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "print(*bag.dags['corpusvec'].task_ids)\n"
    )
    python = os.environ.get("AIRFLOW_PYTHON", sys.executable)
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run([python, "-c", "import airflow"], check=True, capture_output=True)
        (tmp_path / "dags").mkdir()
        shutil.copy(FOLDER / "corpusvec_dag.py", tmp_path / "dags")
        done = subprocess.run(
            [python, "-c", script, str(tmp_path / "dags")],
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                "AIRFLOW_HOME": str(tmp_path),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "embed published prune night"
        return
    pytest.skip("Airflow is not installed (AIRFLOW_PYTHON may name a Python that has it)")


# --------------------------------------------------------------------------------------- alarms

RULES = yaml.safe_load((FOLDER / "alarms.yml").read_text("utf-8"))["groups"][0]["rules"]
# Alarm -> series that set it off, and such that do not.
SETS_OFF: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "CorpusvecLate": (
        {"corpusvec_last_success_timestamp_seconds": "0x4000"},
        {"corpusvec_last_success_timestamp_seconds": "0+60x4000"},
    ),
    "CorpusvecSilent": (
        {"corpusvec_run_finished_timestamp_seconds": "0x4000"},
        {"corpusvec_run_finished_timestamp_seconds": "0+60x4000"},
    ),
    "CorpusvecAbsent": ({}, {"corpusvec_run_exit_code": "0x4000"}),
    "CorpusvecFailed": (
        {"corpusvec_run_exit_code": "1x4000"},
        {"corpusvec_run_exit_code": "3x4000"},
    ),
    "CorpusvecNotPublished": (
        {"corpusvec_run_exit_code": "3x4000"},
        {"corpusvec_run_exit_code": "130x4000"},
    ),
    "CorpusvecRejected": ({"corpusvec_rejected": "1x4000"}, {"corpusvec_rejected": "0x4000"}),
    "CorpusvecShrunk": (
        {"corpusvec_documents": "1000x2000 890x2000"},
        {"corpusvec_documents": "1000x2000 910x2000"},
    ),
    "CorpusvecInputOld": (
        {"corpusvec_input_age_seconds": "260000x4000"},
        {"corpusvec_input_age_seconds": "250000x4000"},
    ),
    "CorpusvecInputUnchanged": (
        {"corpusvec_input_unchanged_snapshots": "7x4000"},
        {"corpusvec_input_unchanged_snapshots": "6x4000"},
    ),
    "CorpusvecNotReusing": (
        {"corpusvec_embedded": "60x4000", "corpusvec_documents": "100x4000"},
        {"corpusvec_embedded": "40x4000", "corpusvec_documents": "100x4000"},
    ),
    "CorpusvecDamaged": (
        {"corpusvec_damaged_files": "1x4000"},
        {"corpusvec_embedded": "1x4000"},
    ),
    "CorpusvecSlow": (
        {"corpusvec_run_duration_seconds": "500x3000 1600x1000"},
        {"corpusvec_run_duration_seconds": "100x3000 590x1000"},
    ),
    "CorpusvecUnknownTokens": (
        {"corpusvec_unknown_tokens": "6x4000", "corpusvec_tokens": "100x4000"},
        {"corpusvec_unknown_tokens": "4x4000", "corpusvec_tokens": "100x4000"},
    ),
    "CorpusvecMemory": (
        {"corpusvec_peak_memory_bytes": "7x4000", "node_memory_MemTotal_bytes": "10x4000"},
        {"corpusvec_peak_memory_bytes": "5x4000", "node_memory_MemTotal_bytes": "10x4000"},
    ),
    "CorpusvecUnreadable": (
        {"node_textfile_scrape_error": "1x4000"},
        {"node_textfile_scrape_error": "0x4000"},
    ),
}


def written() -> set[str]:
    """What is behind `corpusvec_` in the names of metrics."""
    source = (ROOT / "pipeline" / "terminal" / "metrics_files.py").read_text("utf-8")
    return {*names.COUNTS, names.PEAK_MEMORY, *re.findall(r'"([a-z_]+)"', source)}


def test_alarms_are_of_metrics_that_are_written_and_each_is_explained(tmp_path):
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert set(re.findall(r"corpusvec_(\w+)", rule["expr"])) <= written()
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
    explained = re.findall(r"^\| `(Corpusvec\w+)` \|", README, re.MULTILINE)
    assert explained == [rule["alert"] for rule in RULES] == list(SETS_OFF)


def test_the_metrics_of_the_readme_are_written():
    assert set(re.findall(r"`corpusvec_(\w+)", README)) <= written()


@pytest.mark.parametrize("alarm", SETS_OFF)
def test_prometheus_itself_raises_the_alarm(alarm, tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("promtool, which is part of Prometheus, is not installed")
    rules = str(FOLDER / "alarms.yml")
    subprocess.run(["promtool", "check", "rules", rules], check=True, capture_output=True)
    labels = {"output": "/v", "instance": "m"}
    tests = []
    for series, raised in zip(SETS_OFF[alarm], (True, False)):
        one = [
            {"series": f"{name}{{{labels_of(name, labels)}}}", "values": values}
            for name, values in series.items()
        ]
        query = f'count(ALERTS{{alertname="{alarm}",alertstate="firing"}})'
        expected = [{"labels": "{}", "value": 1}] if raised else []
        asked = {"expr": query, "eval_time": "3600m", "exp_samples": expected}
        tests.append({"interval": "1m", "input_series": one, "promql_expr_test": [asked]})
    file = tmp_path / "test.yml"
    said = {"rule_files": [rules], "evaluation_interval": "30m", "tests": tests}
    file.write_text(yaml.safe_dump(said))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def labels_of(name: str, labels: dict[str, str]) -> str:
    own = labels if name.startswith("corpusvec_") else {"instance": labels["instance"]}
    return ",".join(f'{key}="{value}"' for key, value in own.items())
