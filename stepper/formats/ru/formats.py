"""Russian: twenty-four hours with two digits, also in the admin; what is not here is Django's."""

from stepper.formats.typed import DATES, DATETIMES, TIMES

TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j E Y г., H:i"
SHORT_DATETIME_FORMAT = "d.m.Y, H:i"
# Django has the nominative here: "28 ноябрь".
MONTH_DAY_FORMAT = "j E"
DATE_INPUT_FORMATS = DATES
TIME_INPUT_FORMATS = TIMES
DATETIME_INPUT_FORMATS = DATETIMES
