"""From scores to report.json, report.md, report.html and a table in the terminal."""
