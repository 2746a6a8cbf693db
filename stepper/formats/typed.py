"""How dates and times may be typed, in every language: people copy them from papers, pages and tables alike.

Day before month, as it is read here. The first of a language's formats is how its fields show a value, so each language
puts its own before these.
"""

DATES = ["%d.%m.%Y", "%d.%m.%y", "%Y-%m-%d", "%d/%m/%Y", "%d/%m/%y", "%d-%m-%Y", "%d %b %Y", "%d %B %Y"]
TIMES = ["%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H.%M"]
DATETIMES = [f"{date} {time}" for date in DATES for time in TIMES]
