"""melodygen over HTTP: jobs, uploads and the studio page, on the same services as the command line."""
