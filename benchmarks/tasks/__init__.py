"""What is asked and how answers are judged: one file a task."""
