"""The scripts of launch/, with programs in place of SLURM's and the environment's that write down their calls."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parent.parent / "launch"
RECORD = """#!{python} -IS
import json, os, subprocess, sys
name, given, log = os.path.basename(sys.argv[0]), sys.argv[1:], {log!r}
with open(log, "a") as file:
    file.write(json.dumps({{"name": name, "given": given, "environment": dict(os.environ)}}) + "\\n")
"""
PYTHON = """
if "--count" in given:
    print({count!r})
sys.exit(0 if "--count" in given else {code})
"""
SRUN = """
while given[0].startswith("--"):
    given.pop(0)
sys.exit(subprocess.run(given).returncode)
"""
# numbers its jobs from 7 and runs each at once; a script's first line without '--' begins the job's own words
SBATCH = """
options = []
while given[0].startswith("--"):
    options.append(given.pop(0))
with open(log) as file:
    job = 6 + sum(json.loads(line)["name"] == "sbatch" for line in file)
array = [option.removeprefix("--array=").split("%")[0] for option in options if option.startswith("--array=")]
first, last = map(int, array[0].split("-")) if array else (0, 0)
for task in range(first, last + 1):
    environment = os.environ | {"SLURM_JOB_ID": str(job + 100 * task), "SLURM_SUBMIT_DIR": os.getcwd()}
    if array:
        environment["SLURM_ARRAY_TASK_ID"] = str(task)
    subprocess.run(["bash", *given], env=environment, stdout=subprocess.DEVNULL)
print(f"{job};cluster" if "--parsable" in options else f"Submitted batch job {job}")
"""
VENV = """
place = os.path.join(given[-1], "bin")
os.makedirs(place)
for program in ("python", "pip"):
    with open(os.path.join(place, program), "w") as file:
        file.write({stub!r})
    os.chmod(file.name, 0o755)
"""


class Cluster:
    """A folder of programs that stand in for SLURM's, and what they were asked."""

    def __init__(self, folder, count="3", code=0):
        self.folder, self.log = folder, folder / "log.jsonl"
        self.log.touch()
        (folder / "bin").mkdir()
        self.stub = self.recording() + PYTHON.format(count=count, code=code)
        self.program("bin/sbatch", self.recording() + SBATCH)
        self.program("bin/srun", self.recording() + SRUN)
        self.program("bin/scontrol", self.recording())
        self.program("bin/python3", self.recording() + VENV.format(stub=self.stub))

    def recording(self):
        return RECORD.format(python=sys.executable, log=str(self.log))

    def program(self, name, text):
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def environment_made(self, extra="-cuda12"):
        (self.folder / "venv" / "bin").mkdir(parents=True)
        self.program("venv/bin/python", self.stub)
        (self.folder / "venv" / f"made{extra}").touch()

    def run(self, script, *flags, **environment):
        """Runs a script of launch/; its exit code, output and errors."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environment = {**kept, "PATH": path, "VENV": str(self.folder / "venv"), **environment}
        command = ["bash", str(LAUNCH / script), *flags]
        return subprocess.run(command, env=environment, cwd=LAUNCH.parent, capture_output=True, text=True, timeout=60)

    def calls(self, name):
        found = map(json.loads, self.log.read_text().splitlines())
        return [call for call in found if call["name"] == name]

    def given(self, name):
        return [call["given"] for call in self.calls(name)]


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    made.environment_made()
    return made


FLAGS = ["--paper", "dkph", "--table", "2", "--workdir", "my 'own' \"folder\" $HOME * \\"]


def test_each_run_of_the_table_is_a_task_with_the_flags_as_they_were_given(cluster):
    done = cluster.run("reproduce.sh", *FLAGS)
    assert done.returncode == 0, done.stderr
    asked = [given for given in cluster.given("python") if "--only" in given]
    assert asked == [["-m", "jhash.reproduce", *FLAGS, "--only", str(task)] for task in range(3)]


def test_the_number_of_runs_is_asked_once_with_the_same_flags(cluster):
    cluster.run("reproduce.sh", *FLAGS)
    assert cluster.given("python")[0] == ["-m", "jhash.reproduce", *FLAGS, "--count"]
    assert sum("--count" in given for given in cluster.given("python")) == 1


def test_the_page_waits_for_the_array_however_it_ends(cluster):
    cluster.run("reproduce.sh", *FLAGS)
    array, page = cluster.given("sbatch")
    assert array[:2] == ["--parsable", "--array=0-2"]
    assert page[:2] == ["--parsable", "--dependency=afterany:7"]
    assert cluster.given("python")[-1] == ["-m", "jhash.reproduce", *FLAGS]


def test_the_person_is_told_the_jobs(cluster):
    assert cluster.run("reproduce.sh", *FLAGS).stdout.strip() == "3 runs: job 7; the page: job 8, when they have ended"


def test_a_limit_of_runs_at_a_time_is_handed_on(cluster):
    cluster.run("reproduce.sh", *FLAGS, ARRAY_LIMIT="2")
    assert cluster.given("sbatch")[0][1] == "--array=0-2%2"


@pytest.mark.parametrize("count", ["", "three", "-1", "007", "1\n2"])
def test_nothing_is_submitted_without_a_number_of_runs(tmp_path, count):
    cluster = Cluster(tmp_path, count=count)
    cluster.environment_made()
    done = cluster.run("reproduce.sh", *FLAGS)
    assert done.returncode == 2 and "expected a number of runs" in done.stderr
    assert not cluster.calls("sbatch")


def test_a_table_without_runs_is_a_page_alone(tmp_path):
    cluster = Cluster(tmp_path, count="0")
    cluster.environment_made()
    assert cluster.run("reproduce.sh", *FLAGS).stdout.strip() == "no runs; the page: job 7"
    assert cluster.given("python")[1:] == [["-m", "jhash.reproduce", *FLAGS]]


def test_nothing_is_submitted_where_the_flags_are_refused(cluster):
    cluster.program("venv/bin/python", "#!/bin/sh\necho 3\nexit 2\n")
    assert cluster.run("reproduce.sh", *FLAGS).returncode == 2
    assert not cluster.calls("sbatch")


def test_no_page_waits_for_an_array_that_was_refused(cluster):
    cluster.program("bin/sbatch", cluster.recording() + "sys.exit(1)\n")
    assert cluster.run("reproduce.sh", *FLAGS).returncode == 1
    assert len(cluster.calls("sbatch")) == 1


@pytest.mark.parametrize("code,requeued", [(130, True), (0, False), (1, False)])
def test_a_job_is_queued_again_where_a_signal_ended_it_and_only_there(tmp_path, code, requeued):
    cluster = Cluster(tmp_path, code=code)
    cluster.environment_made()
    done = cluster.run("slurm.sbatch", "c.py", "w", SLURM_JOB_ID="41", SLURM_SUBMIT_DIR=str(LAUNCH.parent))
    assert done.returncode == code
    assert cluster.given("scontrol") == ([["requeue", "41"]] if requeued else [])


def test_a_task_is_queued_again_by_its_own_number(tmp_path):
    cluster = Cluster(tmp_path, code=130)
    cluster.environment_made()
    cluster.run("reproduce.sh", *FLAGS)
    assert cluster.given("scontrol") == [["requeue", job] for job in ("7", "107", "207", "8")]


def test_a_step_has_the_cores_of_its_job(cluster):
    cluster.run("slurm.sbatch", "c.py", "w", SLURM_CPUS_PER_TASK="8", SLURM_SUBMIT_DIR=str(LAUNCH.parent))
    assert cluster.given("srun")[0][0] == "--cpus-per-task=8"


@pytest.mark.parametrize("script", ["slurm.sbatch", "reproduce.sbatch"])
@pytest.mark.parametrize("option", ["--gpus=1", "--requeue", "--signal=INT@120"])
def test_a_job_has_one_gpu_and_is_stopped_before_its_limit(script, option):
    assert f"#SBATCH {option}" in (LAUNCH / script).read_text().splitlines()


def test_an_experiment_gets_its_config_workdir_and_flags(cluster):
    done = cluster.run("run.sh", "configs/x.py", "my run", "--config.data.dir=/my data", EXTRA="cuda12")
    assert done.returncode == 0, done.stderr
    words = ["--config", "configs/x.py", "--workdir", "my run", "--config.data.dir=/my data"]
    assert cluster.given("python") == [["-m", "jhash.launch", *words]]


@pytest.mark.parametrize("extra,kept", [("", True), ("cuda12", False)])
def test_a_step_keeps_its_memory_on_a_cpu(tmp_path, extra, kept):
    cluster = Cluster(tmp_path)
    cluster.environment_made(f"-{extra}" if extra else "")
    cluster.run("run.sh", "c.py", "w", EXTRA=extra)
    assert ("MALLOC_TRIM_THRESHOLD_" in cluster.calls("python")[0]["environment"]) == kept


def test_an_environment_is_made_once_before_the_first_job(tmp_path):
    cluster = Cluster(tmp_path)
    for _ in range(2):
        assert cluster.run("reproduce.sh", *FLAGS).returncode == 0
    pip = ["-m", "pip", "install", "--quiet", "--editable", f"{LAUNCH.parent}[cuda12]"]
    assert cluster.given("python3") == [["-m", "venv", str(tmp_path / "venv")]]
    assert [given for given in cluster.given("python") if "pip" in given] == [pip]
    names = [json.loads(line)["name"] for line in cluster.log.read_text().splitlines()]
    assert names.index("python3") < names.index("sbatch")


def test_another_extra_is_installed_in_the_same_environment(tmp_path):
    cluster = Cluster(tmp_path)
    for extra in ("", "cuda12", ""):
        cluster.run("run.sh", "c.py", "w", EXTRA=extra)
    installed = [given[-1] for given in cluster.given("python") if "pip" in given]
    assert installed == [str(LAUNCH.parent), f"{LAUNCH.parent}[cuda12]"]


def test_an_environment_that_was_not_finished_is_not_used(tmp_path):
    cluster = Cluster(tmp_path, code=1)  # pip fails
    assert cluster.run("run.sh", "c.py", "w").returncode != 0
    assert not any("jhash.launch" in given for given in cluster.given("python"))
    assert not list((tmp_path / "venv").glob("made*"))
