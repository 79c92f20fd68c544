"""SAM as mask decoder."""
