"""Results of runs on disk: keys, locks, what a run left, how long others will take."""

__all__ = ["metrics_file", "result_store", "run_result", "time_estimate"]
