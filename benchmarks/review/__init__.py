"""Review of captioned data by people: what they change, kept with who and when, and written as a new set."""
