"""A driver's earnings: sums of calendar periods, hours, the page /driver/earnings/, REST, statements of a month."""
