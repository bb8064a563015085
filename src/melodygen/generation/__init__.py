"""Generation: request parsing, prompt, sampling, logit bias, quality, and the generate-then-classify loop."""
