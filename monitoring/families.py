"""The dictionary of metric families: one row each, of what is written as samples, counted, or computed at a scrape."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "summary", "info"]
Group = Literal["api", "business", "system", "security", "gpu", "alerts", "self"]
GROUPS: tuple[Group, ...] = ("api", "business", "system", "security", "gpu", "alerts", "self")

HTTP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds, for durations of requests
TASK_BOUNDS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)  # seconds, for durations of tasks


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its full name (base unit as suffix, `_total` on counters alone), kind, group, help for a reader.

    A histogram is kept as three counters: `<name>_bucket` with the label `le`, `<name>_sum`, `<name>_count`.
    """

    name: str
    kind: Kind
    group: Group
    help: str


FAMILIES: tuple[Family, ...] = (
    # api
    Family("cockpit_http_requests_total", "counter", "api", "Requests answered, by route, method and status"),
    Family("cockpit_http_request_duration_seconds", "histogram", "api", "How long requests took, by route and method"),
    Family("cockpit_http_errors_total", "counter", "api", "Answers of 400 and above, by route and type of error"),
    Family("cockpit_http_requests_in_flight", "gauge", "api", "Requests being answered when read, by host and process"),
    Family("cockpit_http_request_bytes_total", "counter", "api", "Bytes of requests' bodies, by route and method"),
    Family("cockpit_http_response_bytes_total", "counter", "api", "Bytes of answers' bodies, by route and method"),
    # business
    Family("cockpit_inferences_total", "counter", "business", "Inferences recorded, by model, provider and status"),
    Family("cockpit_inferences_unpriced_total", "counter", "business", "Inferences without a known cost, by model"),
    Family("cockpit_inference_retries_total", "counter", "business", "Inferences that were a second or later attempt"),
    Family(
        "cockpit_tokens_total",
        "counter",
        "business",
        "Tokens by model and kind: cache_read and cache_write are part of input, reasoning of output",
    ),
    Family("cockpit_inference_cost_total", "counter", "business", "Cost where it is known, by model and currency"),
    Family(
        "cockpit_inference_revenue_total", "counter", "business", "Revenue where it is known, by model and currency"
    ),
    Family("cockpit_inference_duration_seconds", "histogram", "business", "How long inferences took, by model"),
    Family(
        "cockpit_inference_time_to_first_token_seconds",
        "summary",
        "business",
        "Time to the first token of the inferences that told it, by model",
    ),
    Family("cockpit_active_users", "gauge", "business", "Distinct people who called a model since midnight UTC"),
    Family(
        "cockpit_prompt_cache_hit_ratio",
        "gauge",
        "business",
        "Share of the input tokens of the last hour that a prompt cache served",
    ),
    Family(
        "cockpit_cost_per_1000_tokens",
        "gauge",
        "business",
        "Cost of a thousand tokens in the last hour, over the models with no cost unknown",
    ),
    Family(
        "cockpit_inference_retry_ratio",
        "gauge",
        "business",
        "Share of the inferences of the last hour that were a second or later attempt",
    ),
    Family(
        "cockpit_gpu_idle_ratio",
        "gauge",
        "business",
        "Share of the last hour's minutes in which the card was below 5 % busy",
    ),
    Family(
        "cockpit_models_folded",
        "gauge",
        "business",
        "Models that this answer tells under __other__, beyond the series that their organization may have",
    ),
    Family(
        "cockpit_series_limit", "gauge", "business", "Series of inferences that an organization may have in an answer"
    ),
    # system
    Family(
        "cockpit_cpu_utilization_ratio",
        "gauge",
        "system",
        "Share of all processors' time that was busy since the last reading",
    ),
    Family("cockpit_cpu_core_utilization_ratio", "gauge", "system", "The same of each processor (the first 64)"),
    Family("cockpit_cpu_seconds_total", "counter", "system", "Seconds of all processors, by mode"),
    Family("cockpit_load_average", "gauge", "system", "Processes that run or wait for a disk, on average over minutes"),
    Family("cockpit_memory_used_bytes", "gauge", "system", "Memory that could not be given to somebody else"),
    Family("cockpit_memory_available_bytes", "gauge", "system", "Memory that could be given out without swapping"),
    Family("cockpit_memory_total_bytes", "gauge", "system", "Memory of the machine"),
    Family("cockpit_swap_used_bytes", "gauge", "system", "Swap in use"),
    Family("cockpit_swap_total_bytes", "gauge", "system", "Swap of the machine"),
    Family(
        "cockpit_disk_used_bytes", "gauge", "system", "Space in use, by mount; data is where the cockpit keeps its own"
    ),
    Family("cockpit_disk_free_bytes", "gauge", "system", "Space that may still be used, by mount"),
    Family("cockpit_disk_size_bytes", "gauge", "system", "Size of the file system, by mount"),
    Family("cockpit_disk_read_bytes_total", "counter", "system", "Bytes read, by disk"),
    Family("cockpit_disk_written_bytes_total", "counter", "system", "Bytes written, by disk"),
    Family("cockpit_disk_reads_total", "counter", "system", "Reads, by disk"),
    Family("cockpit_disk_writes_total", "counter", "system", "Writes, by disk"),
    Family("cockpit_network_receive_bytes_total", "counter", "system", "Bytes received, by interface"),
    Family("cockpit_network_transmit_bytes_total", "counter", "system", "Bytes sent, by interface"),
    Family("cockpit_network_receive_packets_total", "counter", "system", "Packets received, by interface"),
    Family("cockpit_network_transmit_packets_total", "counter", "system", "Packets sent, by interface"),
    Family("cockpit_network_receive_errors_total", "counter", "system", "Packets received with errors, by interface"),
    Family(
        "cockpit_network_transmit_errors_total", "counter", "system", "Packets that could not be sent, by interface"
    ),
    Family(
        "cockpit_network_receive_drops_total", "counter", "system", "Packets received and thrown away, by interface"
    ),
    Family(
        "cockpit_network_transmit_drops_total",
        "counter",
        "system",
        "Packets thrown away before they were sent, by interface",
    ),
    Family("cockpit_boot_timestamp_seconds", "gauge", "system", "When the machine was started"),
    Family("cockpit_processes", "gauge", "system", "Processes of the machine"),
    Family(
        "cockpit_database_connect_seconds",
        "gauge",
        "system",
        "How long connecting to the database and a first SELECT took",
    ),
    Family("cockpit_database_latency_seconds", "gauge", "system", "How long SELECT 1 took over an open connection"),
    Family("cockpit_database_connections", "gauge", "system", "Connections to the database server"),
    Family(
        "cockpit_database_connections_limit",
        "gauge",
        "system",
        "Connections that the server gives to all but superusers",
    ),
    Family("cockpit_database_locks_waiting", "gauge", "system", "Locks that somebody waits for"),
    Family(
        "cockpit_database_oldest_transaction_seconds",
        "gauge",
        "system",
        "Age of the oldest open transaction that the cockpit may see",
    ),
    Family("cockpit_database_block_hits_total", "counter", "system", "Blocks found in the server's memory"),
    Family("cockpit_database_block_reads_total", "counter", "system", "Blocks not found there"),
    Family("cockpit_database_commits_total", "counter", "system", "Transactions committed"),
    Family("cockpit_database_rollbacks_total", "counter", "system", "Transactions rolled back"),
    Family("cockpit_database_deadlocks_total", "counter", "system", "Deadlocks resolved"),
    Family("cockpit_database_size_bytes", "gauge", "system", "Size of the cockpit's database"),
    Family(
        "cockpit_database_dead_rows",
        "gauge",
        "system",
        "Rows deleted or replaced and not cleaned up yet, as estimated by the server",
    ),
    Family("cockpit_database_standbys", "gauge", "system", "Standby servers connected"),
    Family("cockpit_database_replication_lag_seconds", "gauge", "system", "How far the slowest standby is behind"),
    Family(
        "cockpit_database_replication_held_bytes",
        "gauge",
        "system",
        "Write-ahead log kept for the slowest replication slot",
    ),
    Family("cockpit_cache_latency_seconds", "gauge", "system", "How long a PING of the cache took"),
    Family("cockpit_cache_memory_used_bytes", "gauge", "system", "Memory that the cache holds"),
    Family(
        "cockpit_cache_memory_limit_bytes", "gauge", "system", "Memory that the cache may hold; nothing when unlimited"
    ),
    Family("cockpit_cache_clients", "gauge", "system", "Connections to the cache"),
    Family("cockpit_cache_evicted_keys_total", "counter", "system", "Keys thrown out to make room"),
    Family("cockpit_cache_expired_keys_total", "counter", "system", "Keys whose time was over"),
    Family("cockpit_cache_hits_total", "counter", "system", "Keys asked for and found"),
    Family("cockpit_cache_misses_total", "counter", "system", "Keys asked for and not found"),
    Family("cockpit_queue_depth", "gauge", "system", "Messages that wait, by queue"),
    Family("cockpit_queue_oldest_seconds", "gauge", "system", "How long the oldest message waits, by queue"),
    Family("cockpit_queue_unacknowledged", "gauge", "system", "Messages taken by workers and not done yet"),
    # security
    Family("cockpit_auth_failures_total", "counter", "security", "Credentials not accepted, by reason"),
    Family("cockpit_rate_limited_total", "counter", "security", "Requests refused for being too many, by route"),
    Family("cockpit_key_requests_total", "counter", "security", "Requests by API key (its prefix) and route"),
    Family("cockpit_new_networks_total", "counter", "security", "Networks (/24, /48) that a caller came from first"),
    # gpu
    Family("cockpit_gpu_up", "gauge", "gpu", "Whether the card answers"),
    Family("cockpit_gpu_info", "info", "gpu", "Name, UUID, driver and VBIOS of the card"),
    Family(
        "cockpit_gpu_utilization_ratio",
        "gauge",
        "gpu",
        "Share of time in which a kernel ran; nothing for divided cards",
    ),
    Family("cockpit_gpu_memory_utilization_ratio", "gauge", "gpu", "Share of time in which memory was read or written"),
    Family("cockpit_gpu_memory_used_bytes", "gauge", "gpu", "Memory in use"),
    Family("cockpit_gpu_memory_total_bytes", "gauge", "gpu", "Memory of the card"),
    Family("cockpit_gpu_temperature_celsius", "gauge", "gpu", "Temperature of the card"),
    Family("cockpit_gpu_slowdown_celsius", "gauge", "gpu", "Temperature at which this card slows itself down"),
    Family("cockpit_gpu_power_watts", "gauge", "gpu", "Power drawn"),
    Family("cockpit_gpu_power_limit_watts", "gauge", "gpu", "Power that the card may draw"),
    Family("cockpit_gpu_energy_joules_total", "counter", "gpu", "Energy used since the driver was loaded"),
    Family("cockpit_gpu_clock_hertz", "gauge", "gpu", "Clock rate, by clock"),
    Family(
        "cockpit_gpu_pcie_bytes_per_second", "gauge", "gpu", "Traffic over PCIe at the moment of reading, by direction"
    ),
    Family("cockpit_gpu_pcie_replays_total", "counter", "gpu", "Packets sent again over PCIe"),
    Family("cockpit_gpu_ecc_errors_total", "counter", "gpu", "Memory errors over the card's life, by kind"),
    Family("cockpit_gpu_remapped_rows", "gauge", "gpu", "Memory rows replaced by spare ones, by kind of error"),
    Family("cockpit_gpu_row_remap_pending", "gauge", "gpu", "Whether a row waits for the next reset to be replaced"),
    Family("cockpit_gpu_row_remap_failed", "gauge", "gpu", "Whether replacing a row failed: replace the card"),
    Family("cockpit_gpu_retired_pages", "gauge", "gpu", "Memory pages no longer used, by kind of error"),
    Family("cockpit_gpu_throttled", "gauge", "gpu", "Whether clocks are held down, by reason"),
    Family("cockpit_gpu_xid_errors_total", "counter", "gpu", "XID errors that the driver reported, by number"),
    Family("cockpit_gpu_last_xid", "gauge", "gpu", "Number of the last XID error, which stays; look at its time"),
    Family("cockpit_gpu_last_xid_timestamp_seconds", "gauge", "gpu", "When the last XID error was seen"),
    Family("cockpit_gpu_instance_memory_used_bytes", "gauge", "gpu", "Memory in use of each instance (MIG)"),
    Family("cockpit_gpu_instance_memory_total_bytes", "gauge", "gpu", "Memory of each instance (MIG)"),
    Family("cockpit_gpu_processes", "gauge", "gpu", "Processes that use the card"),
    Family(
        "cockpit_gpu_process_memory_bytes",
        "gauge",
        "gpu",
        "Memory held by a process, by program (the 20 largest of a card)",
    ),
    Family("cockpit_gpu_process_pid", "gauge", "gpu", "Process id of that process"),
    # alerts
    Family("cockpit_alerts_open", "gauge", "alerts", "Alerts that are not resolved, by severity and status"),
    Family("cockpit_alerts_suppressed", "gauge", "alerts", "Open alerts that nobody is told of for now, by reason"),
    Family("cockpit_alerts_oldest_seconds", "gauge", "alerts", "Age of the oldest open alert; nothing while none is"),
    Family("cockpit_alerts_fired_total", "counter", "alerts", "Alerts that began, by severity"),
    Family("cockpit_alerts_resolved_total", "counter", "alerts", "Alerts that ended, by severity"),
    Family(
        "cockpit_alert_acknowledge_seconds",
        "histogram",
        "alerts",
        "How long it took until somebody looked after an alert, by severity",
    ),
    Family("cockpit_alert_resolve_seconds", "histogram", "alerts", "How long alerts were open, by severity"),
    Family(
        "cockpit_deliveries_total",
        "counter",
        "alerts",
        "Tries to tell a channel of alerts, by channel and outcome: sent, retried, dead",
    ),
    Family("cockpit_delivery_seconds", "histogram", "alerts", "From an alert's event to its notice being taken"),
    Family("cockpit_outbox_pending", "gauge", "alerts", "Notices that wait to be sent"),
    Family("cockpit_outbox_oldest_seconds", "gauge", "alerts", "Age of the oldest notice that waits to be sent"),
    Family("cockpit_outbox_retrying", "gauge", "alerts", "Waiting notices that were tried before"),
    Family("cockpit_outbox_dead", "gauge", "alerts", "Notices of the last 7 days that were given up or too old"),
    Family("cockpit_channels", "gauge", "alerts", "Channels by state: on, off, failed"),
    Family("cockpit_rules", "gauge", "alerts", "Alert rules by the state of the worst of their groups"),
    Family("cockpit_rules_behind_seconds", "gauge", "alerts", "How far the judging of rules that are on is behind"),
    # self
    Family("cockpit_probe_up", "gauge", "self", "Whether the probe was read"),
    Family("cockpit_probe_duration_seconds", "gauge", "self", "How long reading the probe took"),
    Family("cockpit_probe_last_success_timestamp_seconds", "gauge", "self", "When the probe was last read"),
    Family("cockpit_workers", "gauge", "self", "Workers that live"),
    Family("cockpit_beat_last_seen_timestamp_seconds", "gauge", "self", "When a beat last sent something"),
    Family("cockpit_role_age_seconds", "gauge", "self", "Since the newest sign of life of each role"),
    Family("cockpit_notice_due_seconds", "gauge", "self", "How long the oldest notice that could be sent has been due"),
    Family("cockpit_task_runs_total", "counter", "self", "Tasks run, by task and outcome"),
    Family("cockpit_task_duration_seconds", "histogram", "self", "How long tasks took"),
    Family("cockpit_deltas_waiting", "gauge", "self", "Sums not folded into rollups yet, as estimated by the server"),
    Family("cockpit_build_info", "info", "self", "The version of the cockpit that answered"),
    Family(
        "cockpit_scrape_duration_seconds", "gauge", "self", "How long it took to gather the families of this answer"
    ),
    Family("cockpit_exposition_errors", "gauge", "self", "Families and sources left out of this answer by an error"),
    Family("cockpit_counting_overflow_total", "counter", "self", "Recordings for which a process's table was full"),
    Family("cockpit_recordings_dropped_total", "counter", "self", "Recordings in process not kept, by verb and reason"),
    Family("cockpit_custom_families_total", "counter", "self", "Registrations of custom families: name, kind, help"),
    Family("cockpit_series_overflow_total", "counter", "self", "Readings of series beyond the cap, by family"),
)
BY_NAME = {family.name: family for family in FAMILIES}
