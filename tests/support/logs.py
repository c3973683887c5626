"""The search in the logs of a run for what they must not say."""

from pathlib import Path


def failed_tasks(data: Path) -> list[str]:
    """Return the log lines of failed tasks in `data`/logs; nothing else shows them, since they are started again."""
    logs = (file.read_text(errors="replace") for file in (data / "logs").glob("gateway*.log"))
    return [line for log in logs for line in log.splitlines() if '"task_failed"' in line]
