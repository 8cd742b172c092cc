"""Research: experiments, synthetic data and pre-training."""
