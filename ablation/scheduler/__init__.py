"""Runs units: as trials of Ray Tune on a cluster, or one after another in this process."""

import os

# Ray reads these when it is imported, which only modules of this package do.
for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # print nothing of a node that is lost
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune's own record is never read
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are ours (`ablation.interrupts`)
    "TUNE_FORCE_TRIAL_CLEANUP_S": "3",  # of a trial that is pruned
    # Workers start with the Ray of this machine, not when the driver has connected to it, and are
    # kept until a trial takes them.
    "RAY_enable_worker_prestart": "1",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # A unit that is handed out is claimed by this driver: no more of them than are about to start.
    "TUNE_MAX_PENDING_TRIALS_PG": "2",
}.items():
    os.environ.setdefault(_name, _value)
