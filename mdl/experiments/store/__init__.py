"""Results of runs on disk: keys, locks, what a run left, how long others will take."""
