"""Runs that are killed, workers that are killed, clusters: the digits are always the same."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.power import ClusterTrial, power

TRIAL = ClusterTrial(clusters=6, members=4, icc=0.1, effect=0.6)
ASKED = {"vary": {"clusters": [4, 6]}, "n_studies": 30, "seed": 8}
PATIENCE = 120.0  # s, until a run has something to show
DASK = "the extra [dask] is not installed"

pytestmark = pytest.mark.slow  # processes are started, killed and started again


def means(trial):
    """Test cluster means by t."""
    arms = trial.groupby(["treated", "cluster"])["outcome"].mean()
    found = stats.ttest_ind(arms.loc[1.0], arms.loc[0.0])
    difference = arms.loc[1.0].mean() - arms.loc[0.0].mean()
    return pd.DataFrame({"term": ["difference"], "estimate": difference, "p_value": found.pvalue})


@dataclass(frozen=True)
class KilledOnce:
    """Kill the worker while a mark is not there; then analyse."""

    mark: str

    def __call__(self, trial):
        if not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return means(trial)


@pytest.fixture(scope="module")
def whole():
    return power(TRIAL, means, **ASKED)


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_killed_worker_costs_time_and_no_digit(whole, tmp_path):
    found = power(TRIAL, KilledOnce(str(tmp_path / "mark")), workers=2, **ASKED)
    assert (tmp_path / "mark").exists()
    pd.testing.assert_frame_equal(found.studies, whole.studies)


SCRIPT = """
import sys, time
from tests.unit.test_power_runs import ASKED, TRIAL, means
from alliance_stats.power import power

def slow(trial):
    time.sleep(0.02)
    return means(trial)

if __name__ == "__main__":
    found = power(TRIAL, slow, store=sys.argv[1], **ASKED)
    found.studies.to_pickle(sys.argv[2])
"""


def test_a_killed_run_goes_on_to_the_same_digits(whole, tmp_path):
    script, kept = tmp_path / "run.py", tmp_path / "kept"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    call = [sys.executable, str(script), str(kept), str(tmp_path / "out.pickle")]
    run = subprocess.Popen(call, env=environment)
    until = time.monotonic() + PATIENCE
    while len(list(kept.glob("*.parquet"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    parts = sorted(kept.glob("*.parquet"))
    assert 2 <= len(parts) < 6  # in the middle
    before = {part: part.stat().st_mtime_ns for part in parts}
    subprocess.run(call, env=environment, check=True)
    assert all(part.stat().st_mtime_ns == when for part, when in before.items())
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "out.pickle"), whole.studies)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_dask_cluster_gives_the_same_digits(whole):
    distributed = pytest.importorskip("distributed", reason=DASK)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = power(TRIAL, means, workers=client, **ASKED)
    pd.testing.assert_frame_equal(found.studies, whole.studies)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_killed_worker_of_a_dask_cluster_costs_no_digit(whole, tmp_path):
    distributed = pytest.importorskip("distributed", reason=DASK)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = power(
            TRIAL,
            KilledOnce(str(tmp_path / "mark")),
            workers=client,
            store=tmp_path / "kept",
            **ASKED,
        )
    assert (tmp_path / "mark").exists()
    pd.testing.assert_frame_equal(found.studies, whole.studies)
    assert np.isfinite(found.tidy()["estimate"]).all()
