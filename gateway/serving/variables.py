"""What a worker and the process that started it agree on."""

CONFIG_VARIABLE = "FOREBAY_CONFIG"
INDEX_VARIABLE = "FOREBAY_WORKER"
ADDRESS_VARIABLE = "FOREBAY_WORKER_ADDRESS"
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment; the last name is prometheus_client's own: workers write their metrics there, any can sum them up."""
