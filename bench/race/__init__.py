"""What racing and hedging are worth: the same draws for every way of running a job, beside an oracle."""
