"""`cluster.sh`: what it starts and stops, and what it says where a piece is missing."""

from __future__ import annotations

import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.flink import clusters
from tests.clusters import ROOT, cluster_sh, commands_with

pytestmark = pytest.mark.flink


@pytest.mark.slow
def test_a_second_up_says_so_and_a_second_down_is_fine(cluster, tmp_path):
    again = cluster_sh("up", CORPUSVEC_FLINK=str(cluster.folder))
    assert again.returncode == 0
    assert "is up already" in again.stdout
    assert "is up: Flink 1.19.0" in cluster_sh("status", CORPUSVEC_FLINK=str(cluster.folder)).stdout
    assert cluster_sh("down", CORPUSVEC_FLINK=str(tmp_path)).stdout == "the cluster was not up\n"
    nothing = cluster_sh("status", CORPUSVEC_FLINK=str(tmp_path))
    assert nothing.returncode == 1
    assert nothing.stderr == "cluster.sh: the cluster is not up\n"


def test_without_java_up_is_one_line(tmp_path):
    for name in ("bash", "dirname", "ps"):
        os.symlink(shutil.which(name) or "", tmp_path / name)
    done = cluster_sh("up", CORPUSVEC_FLINK=str(tmp_path / "run"), PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == 1
    assert done.stderr == "cluster.sh: java: is not in PATH; Flink needs a Java 11 or 17\n"


def test_without_maven_up_is_one_line(tmp_path):
    """In a checkout that has fetched nothing yet."""
    if not shutil.which("java"):
        pytest.skip("java is not here")
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    fetched = shutil.ignore_patterns("target", "run", "__pycache__")
    for name in ("corpusvec", "pipeline", "transforms", "deploy/flink"):
        shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=fetched)
    programs.mkdir()
    for name in ("bash", "dirname", "ps", "java"):
        os.symlink(shutil.which(name) or "", programs / name)
    where = {"CORPUSVEC_FLINK": str(tmp_path / "run"), "PATH": str(programs), "JAVA_HOME": ""}
    done = cluster_sh("up", checkout=checkout, **where)
    assert done.returncode == 1
    pom = checkout / "deploy" / "flink" / "pom.xml"
    assert done.stderr == f"cluster.sh: mvn: is not in PATH; Maven fetches what {pom} names\n"


def test_what_maven_makes_is_made_again_where_its_sources_changed(tmp_path, monkeypatch):
    source, made = tmp_path / "src" / "org" / "A.java", []
    source.parent.mkdir(parents=True)
    (tmp_path / "pom.xml").write_text("<project/>")
    monkeypatch.setattr(clusters, "HERE", tmp_path)
    monkeypatch.setattr(clusters, "JARS", tmp_path / "target" / "lib")
    monkeypatch.setattr(clusters, "_fetch", made.append)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    for times, content in enumerate(("class A {}", "class A { int b; }"), 1):
        source.write_text(content)
        for _ in range(2):
            clusters.jars()
        assert made == ["/bin/mvn"] * times


@pytest.mark.slow
def test_of_two_that_start_a_cluster_at_once_one_does(jars, tmp_path):
    with ThreadPoolExecutor(2) as both:
        folder = {"CORPUSVEC_FLINK": str(tmp_path)}
        done = list(both.map(lambda _: cluster_sh("up", **folder), range(2)))
    down = cluster_sh("down", CORPUSVEC_FLINK=str(tmp_path))
    assert [up.returncode for up in done] == [0, 0], done
    said = sorted(up.stdout for up in done)
    assert said[0].startswith("the cluster is up already; Flink")
    assert said[1].startswith("the cluster is up: Flink")
    waited = f"another cluster.sh is at work in {tmp_path}; waiting for it\n"
    assert sorted(up.stderr for up in done) in (["", waited], ["", ""])
    assert down.stdout == "the cluster is down\n"
    assert not commands_with(str(tmp_path))


def test_a_port_that_is_taken_is_one_line(jars, tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        done = cluster_sh("up", f"--rest_port={port}", CORPUSVEC_FLINK=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"cluster.sh: port {port}: is taken")


def test_a_cluster_that_does_not_start_is_one_line_and_nothing_is_left(jars, tmp_path):
    done = cluster_sh("up", "--start_timeout=0.1", CORPUSVEC_FLINK=str(tmp_path))
    assert done.returncode == 1
    assert "is not ready after 0.1 s; see" in done.stderr
    assert not commands_with(str(tmp_path))
