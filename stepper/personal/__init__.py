"""What the product holds about one person: handing it out (export) and taking the person out of it (erasure)."""
