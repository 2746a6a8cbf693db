"""English as it is read here: twenty-four hours and the day before the month, also in the admin."""

from stepper.formats.typed import DATES, DATETIMES, TIMES

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j M Y, H:i"
SHORT_DATE_FORMAT = "j M Y"
SHORT_DATETIME_FORMAT = "j M Y, H:i"
YEAR_MONTH_FORMAT = "F Y"
MONTH_DAY_FORMAT = "j F"
FIRST_DAY_OF_WEEK = 1
DATE_INPUT_FORMATS = ["%Y-%m-%d", *DATES]
TIME_INPUT_FORMATS = TIMES
DATETIME_INPUT_FORMATS = ["%Y-%m-%d %H:%M:%S", *DATETIMES]
