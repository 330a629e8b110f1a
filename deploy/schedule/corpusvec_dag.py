"""Airflow, 2.4 or later, and 3: embed what is new in the corpus, every night.

Copy this file into the folder of DAGs; README.md beside it says what else.
"""

from __future__ import annotations

import json
import os
import shlex
import urllib.request
from datetime import datetime, timedelta, timezone

try:  # Airflow 3
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

EMBED = [
    "/opt/corpusvec/.venv/bin/corpusvec",
    "embed",
    "--input=/srv/corpus/*.json",
    "--output=/var/lib/corpusvec/vectors",
    "--model=/opt/corpusvec/models/all-MiniLM-L6-v2",
    "--if_running=fail",
    "--metrics_file=/var/lib/corpusvec/metrics/corpusvec.prom",
    "--log_format=json",
]
PRUNE = [
    "/opt/corpusvec/.venv/bin/corpusvec",
    "snapshots",
    "prune",
    "/var/lib/corpusvec/vectors",
    "--keep=7",
]
# Another try helps neither with wrong usage (2) nor with a snapshot that is finished but not
# published (3): the task hands these codes on, as its last line, to one that is never tried again.
COMMAND = f"""\
{shlex.join(EMBED)}
code=$?
case $code in
    0 | 2 | 3) echo $code ;;
    *) exit $code ;;
esac
"""


def tell(context) -> None:
    """A task has failed for good: post a message where CORPUSVEC_ALARM_URL says, if it does."""
    if url := os.environ.get("CORPUSVEC_ALARM_URL"):
        task = context["task_instance"]
        text = f"{task.dag_id}.{task.task_id} failed: {context.get('exception')} {task.log_url}"
        headers = {"Content-Type": "application/json"}
        message = urllib.request.Request(url, json.dumps({"text": text}).encode(), headers)
        urllib.request.urlopen(message, timeout=60).close()


with DAG(
    dag_id="corpusvec",
    description="Embed what is new in the corpus",
    schedule="30 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    default_args={"on_failure_callback": tell},
) as dag:
    embed = BashOperator(
        task_id="embed",
        bash_command=COMMAND,
        do_xcom_push=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=6),
    )
    # What reads the new vectors comes after this one.
    published = BashOperator(
        task_id="published",
        bash_command="exit {{ ti.xcom_pull(task_ids='embed') }}",
        retries=0,
    )
    # Old snapshots; not after a night that published nothing.
    prune = BashOperator(
        task_id="prune",
        bash_command=shlex.join(PRUNE),
        retries=1,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(minutes=30),
    )
    # The last task, whose end is the night's: that of `published`, also where `prune` failed. That
    # either failed was told already.
    night = BashOperator(
        task_id="night",
        bash_command="exit {{ ti.xcom_pull(task_ids='embed') }}",
        trigger_rule="all_done",
        retries=0,
        on_failure_callback=None,
    )
    embed >> published >> prune >> night
