"""deploy/: each alert fires and only when it should; what rules and dashboard name is what a process tells."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from stepper.monitoring.collecting import Everything

# The names are the same on both set-ups, and promtool knows neither.
pytestmark = pytest.mark.embedded_only

DEPLOY = Path(settings.BASE_DIR) / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "stepper.json"
NAME = re.compile(r"\bstepper_\w+")
# What the library makes of a counter and of a histogram, as rules name it.
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}

# Alert -> series that fire it, and at which minute; `quiet` are others that do not. Values in promtool's notation.
CASES: dict[str, dict[str, Any]] = {
    "StepperProcessDown": {
        "fires": {'up{job="stepper", instance="a"}': "0x10"},
        "quiet": {'up{job="stepper", instance="a"}': "1x10"},
        "labels": {"instance": "a", "job": "stepper"},
    },
    "StepperDatabaseDown": {"fires": {"stepper_database_up": "0x10"}, "quiet": {"stepper_database_up": "1x10"}},
    "StepperDispatcherSilent": {
        "fires": {"stepper_dispatcher_beat_age_seconds": "16x10"},
        "quiet": {"stepper_dispatcher_beat_age_seconds": "6x10"},
    },
    "StepperDispatcherLate": {
        "fires": {"stepper_dispatcher_lateness_seconds": "11x10"},
        "quiet": {"stepper_dispatcher_lateness_seconds": "9x10"},
    },
    "StepperOutboxStuck": {
        "fires": {"stepper_outbox_age_seconds": "11x10"},
        "quiet": {"stepper_outbox_age_seconds": "2x10"},
    },
    "StepperOutboxBacklog": {
        "fires": {"stepper_outbox_backlog": "1001x10"},
        "quiet": {"stepper_outbox_backlog": "900x10"},
    },
    "StepperEventsSlow": {
        "fires": {
            'stepper_event_delivery_seconds_bucket{le="1"}': "0+10x20",
            'stepper_event_delivery_seconds_bucket{le="2.5"}': "0+100x20",
            'stepper_event_delivery_seconds_bucket{le="+Inf"}': "0+100x20",
        },
        "quiet": {
            'stepper_event_delivery_seconds_bucket{le="1"}': "0+100x20",
            'stepper_event_delivery_seconds_bucket{le="2.5"}': "0+100x20",
            'stepper_event_delivery_seconds_bucket{le="+Inf"}': "0+100x20",
        },
        "at": 15,
    },
    "StepperBusDown": {
        "fires": {'stepper_bus_connected{instance="a"}': "0x10", 'stepper_bus_connected{instance="b"}': "1x10"},
        "quiet": {'stepper_bus_connected{instance="a"}': "1x10"},
        "labels": {"instance": "a"},
    },
    "StepperMailboxOverflows": {
        "fires": {'stepper_mailbox_overflows_total{instance="a"}': "0+5x20"},
        "quiet": {'stepper_mailbox_overflows_total{instance="a"}': "0+1x20"},
        "labels": {"instance": "a"},
    },
    "StepperDatabasePoolBusy": {
        "fires": {'stepper_database_pool_wait_seconds_total{instance="a"}': "0+90x20"},
        "quiet": {'stepper_database_pool_wait_seconds_total{instance="a"}': "0+6x20"},
        "labels": {"instance": "a"},
        "at": 15,
    },
    "StepperTasksStuck": {
        "fires": {
            'stepper_tasks_age_seconds{queue="mail"}': "301x10",
            'stepper_tasks_age_seconds{queue="sms"}': "2x10",
        },
        "quiet": {'stepper_tasks_age_seconds{queue="mail"}': "100x10"},
        "labels": {"queue": "mail"},
    },
    "StepperTasksFailing": {
        "fires": {
            'stepper_tasks_total{queue="sms", outcome="failed"}': "0+1x30",
            'stepper_tasks_total{queue="sms", outcome="sent"}': "0+0x30",
        },
        "quiet": {
            'stepper_tasks_total{queue="sms", outcome="failed"}': "0+1x30",
            'stepper_tasks_total{queue="sms", outcome="sent"}': "0+9x30",
        },
        "labels": {"queue": "sms"},
        "at": 20,
    },
    "StepperFaults": {
        "fires": {"stepper_faults_total": "0+1x30"},
        "quiet": {"stepper_faults_total": "0x20 1x10"},
        "at": 15,
    },
    "StepperServerErrors": {
        "fires": {
            'stepper_responses_total{status="2xx"}': "0+90x30",
            'stepper_responses_total{status="5xx"}': "0+10x30",
        },
        "quiet": {
            'stepper_responses_total{status="2xx"}': "0+99x30",
            'stepper_responses_total{status="5xx"}': "0+1x30",
        },
        "at": 15,
    },
    "StepperNobodyAsked": {
        "fires": {
            'stepper_searches_total{outcome="nobody"}': "0+9x40",
            'stepper_searches_total{outcome="offered"}': "0+1x40",
        },
        "quiet": {
            'stepper_searches_total{outcome="nobody"}': "0+5x40",
            'stepper_searches_total{outcome="offered"}': "0+5x40",
        },
        "at": 35,
    },
    "StepperNobodyAccepts": {
        "fires": {
            "stepper_offers_made_total": "0+3x40",
            'stepper_accepts_total{outcome="accepted"}': "0x40",
        },
        "quiet": {
            "stepper_offers_made_total": "0+3x40",
            'stepper_accepts_total{outcome="accepted"}': "0+1x40",
        },
        "at": 35,
    },
}


def rules() -> dict[str, dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def promtool(*arguments: object) -> str:
    own = Path(sys.executable).with_name("promtool")
    path = shutil.which("promtool") or (str(own) if own.exists() else None)
    if path is None:
        pytest.fail("promtool is missing: `make test` takes it where it may (Debian: apt-get install prometheus).")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _test(alert: str, case: dict[str, Any], *, fires: bool) -> dict[str, Any]:
    """A test of promtool: with these series the alert fires at that minute, or no alert does."""
    rule = rules()[alert]
    series = [{"series": name, "values": values} for name, values in case["fires" if fires else "quiet"].items()]
    labels = {**case.get("labels", {}), **rule["labels"]}
    return {
        "name": f"{alert}, {'fires' if fires else 'quiet'}",
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [
            {
                "eval_time": f"{case.get('at', 6)}m",
                "alertname": alert,
                "exp_alerts": [{"exp_labels": labels}] if fires else [],
            }
        ],
    }


def test_every_alert_has_a_case() -> None:
    assert list(rules()) == list(CASES)


def test_each_alert_fires_and_only_when_it_should(tmp_path: Path) -> None:
    tests = [_test(alert, case, fires=fires) for alert, case in CASES.items() for fires in (True, False)]
    # promtool compares annotations, too: what they say is not what is tested here.
    bare = yaml.safe_load(ALERTS.read_text())
    for rule in bare["groups"][0]["rules"]:
        rule.pop("annotations")
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(bare))
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "evaluation_interval": "30s", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", file)


def test_files_are_what_prometheus_reads(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", ALERTS)
    assert "SUCCESS" in promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def told() -> set[str]:
    """The names of all samples that a process tells, those of what has not happened yet as well."""
    names = set()
    for family in Everything().collect():
        names |= {family.name + suffix for suffix in SUFFIXES.get(family.type, ("",))}
    return names


@pytest.mark.django_db
@pytest.mark.parametrize("file", [ALERTS, DASHBOARD], ids=["alerts", "dashboard"])
def test_every_name_is_told(file: Path) -> None:
    named = set(NAME.findall(file.read_text()))
    assert named
    assert named - told() == set()


@pytest.mark.django_db
def test_dashboard_shows_every_figure() -> None:
    shown = set(NAME.findall(DASHBOARD.read_text()))
    left_out = {name for name in told() if name not in shown and "_process_" not in name}
    # Of a histogram the buckets are enough.
    assert left_out == {"stepper_event_delivery_seconds_count", "stepper_event_delivery_seconds_sum"}


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
