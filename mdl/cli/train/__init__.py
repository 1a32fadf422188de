"""`mdl train`: the plan, the run, the tables."""
