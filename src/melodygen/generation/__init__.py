"""Generation: prompt, sampling, logit bias, quality, and the loop that generates and classifies."""
