"""Russian: twenty-four hours with two digits, also in the admin; what is not here is Django's."""

TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j E Y г., H:i"
SHORT_DATETIME_FORMAT = "d.m.Y, H:i"
# Django has the nominative here: "28 ноябрь".
MONTH_DAY_FORMAT = "j E"
