"""One stage per file. Events pass admit, dedup and group; alerts that have something new to tell
pass silence, inhibit, window, route, rate_limit and record; messages that fail pass retry."""
