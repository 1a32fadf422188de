"""`mdl compress`: the plan and what it leaves."""
